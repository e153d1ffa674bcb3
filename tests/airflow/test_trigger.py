"""xray.airflow.trigger: rows of the listener's trigger that other versions have written"""

from __future__ import annotations

import importlib

import pytest

from xray.airflow.listener.sensor import NotificationSensor
from xray.airflow.listener.trigger import NotificationTrigger

WRITTEN_BY_0_1_0 = (
    "xray.airflow.trigger.NotificationTrigger",
    {
        "topic": "t",
        "dead_letter_topic": "d",
        "dag_id": "x",
        "batch": 7,
        "concurrency": 3,
    },
)
"""The path of the class and the arguments, as version 0.1.0 has serialised them."""


def test_the_row_of_version_0_1_0_leads_to_the_trigger() -> None:
    path, arguments = WRITTEN_BY_0_1_0
    module, name = path.rsplit(".", 1)
    trigger = getattr(importlib.import_module(module), name)(**arguments)
    assert type(trigger) is NotificationTrigger
    assert trigger.serialize()[1] == arguments


def test_arguments_of_another_version_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    trigger = NotificationTrigger(topic="t", removed=1)
    assert trigger.serialize()[1] == {**NotificationTrigger().serialize()[1], "topic": "t"}
    assert "Arguments of another version are ignored: removed" in caplog.text


def test_a_dag_cannot_give_unknown_arguments() -> None:
    with pytest.raises(TypeError, match="Unknown arguments of the trigger: topik"):
        NotificationSensor(task_id="listen_1", arguments={"topik": "t"})
