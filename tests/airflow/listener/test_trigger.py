"""xray.airflow.listener.trigger: on a broker and an API server of the tests' own"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import traceback
from typing import Any

import pytest
from airflow.observability.stats import Stats
from airflow.sdk.exceptions import AirflowNotFoundException

from tests.support import notification
from tests.support.deployment import KEY, Deployment, Logged, until
from tests.support.fake_api import FakeApi
from xray.airflow import notices, store_check
from xray.airflow.listener import trigger
from xray.airflow.listener.consumer import NotificationConsumer
from xray.airflow.listener.trigger import NotificationTrigger
from xray.airflow.unexpected import UnexpectedError
from xray.errors import SettingsError
from xray.notification import OffsetTracker

CHECK = store_check.check
"""The check itself, in place of which the deployment of the tests does nothing."""


def test_each_notification_starts_one_run(deployment: Deployment, api: FakeApi) -> None:
    deployment.send(*(notification(f"{KEY}{number}") for number in range(50)))
    deployment.send(*(notification(f"{KEY}{number}") for number in range(50)), None)

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 101, "commit of all offsets")

    asyncio.run(go())
    assert len(api.runs) == 50
    assert api.object_keys() == sorted(f"{KEY}{number}" for number in range(50))
    assert all(run_id.startswith("xray__") for run_id in api.runs)
    assert "Ashgrove" not in str(api.runs), "the keys are sealed"


def test_nothing_is_committed_before_the_runs_exist(
    deployment: Deployment, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse = [503] * 10_000
    deployment.send(notification(KEY), notification(f"{KEY}2"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: len(api.refuse) < 9_996, "calls of the API")
            assert deployment.committed() == 0
            with api.lock:
                api.refuse.clear()
            await until(lambda: deployment.committed() == 2, "commit")

    asyncio.run(go())
    assert len(api.runs) == 2
    assert "503" in caplog.text
    assert "Ada" not in caplog.text


def test_a_trigger_that_dies_before_its_commit_starts_nothing_twice(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.send(*(notification(f"{KEY}{number}") for number in range(5)))
    with monkeypatch.context() as patch:
        patch.setattr(OffsetTracker, "ready", lambda _: {})

        async def first() -> None:
            async with deployment.running():
                await until(lambda: len(api.runs) == 5, "runs")

        asyncio.run(first())
    assert deployment.committed() == 0

    async def second() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 5, "commit")

    asyncio.run(second())
    assert len(api.runs) == 5


def test_a_long_outage_at_full_capacity_loses_nothing(deployment: Deployment, api: FakeApi) -> None:
    api.refuse = [503] * 10_000
    deployment.send(*(notification(f"{KEY}{number}") for number in range(20)))

    async def go() -> None:
        async with deployment.running(batch=3):
            await until(lambda: len(api.refuse) < 9_985, "calls of the API")
            assert deployment.committed() == 0
            with api.lock:
                api.refuse.clear()
            await until(lambda: deployment.committed() == 20, "commit")

    asyncio.run(go())
    assert len(api.runs) == 20


def test_an_unexpected_error_ends_it_without_its_message(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: NotificationConsumer, limit: int) -> None:
        raise ValueError(KEY)

    monkeypatch.setattr(NotificationConsumer, "receive", broken)

    async def go() -> None:
        async for _ in NotificationTrigger(topic=deployment.topic).run():
            raise AssertionError("the trigger never fires")

    with pytest.raises(UnexpectedError, match="ValueError") as caught:
        asyncio.run(go())
    assert "Ada" not in "".join(traceback.format_exception(caught.value))


def test_it_says_at_the_start_what_the_store_lacks(
    deployment: Deployment,
    api: FakeApi,
    s3_connection: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store_check, "check", CHECK)
    monkeypatch.setenv("AIRFLOW__XRAY__BUCKET", "xray-data-in")
    caplog.set_level("INFO", "xray")

    async def go() -> None:
        async with deployment.running():
            await until(lambda: "honours all conditional requests" in caplog.text, "sentence")

    asyncio.run(go())


def test_it_listens_while_the_store_does_not_answer(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, end = threading.Event(), threading.Event()

    def hang(bucket: str) -> None:
        asked.set()
        end.wait(60)

    monkeypatch.setattr(store_check, "check", hang)
    deployment.send(notification(KEY))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    try:
        asyncio.run(go())
        assert asked.is_set()
        assert not end.is_set()
    finally:
        end.set()
    assert len(api.runs) == 1


def test_every_argument_is_serialized() -> None:
    arguments = {
        "topic": "t",
        "dead_letter_topic": "d",
        "dag_id": "x",
        "batch": 7,
        "concurrency": 3,
    }
    path, given = NotificationTrigger(**arguments).serialize()  # type: ignore[arg-type]
    assert given == arguments
    assert path == f"{NotificationTrigger.__module__}.{NotificationTrigger.__qualname__}"


SECRET_VARIABLE = "AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET"


def test_it_waits_for_a_variable_that_is_missing_at_the_start(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger that failed at once would be tried again within seconds, without end."""
    told: list[str] = []
    gauges: dict[str, float] = {}
    monkeypatch.setattr(trigger, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(notices, "tell", lambda *_, sentence, **__: told.append(sentence))
    monkeypatch.setattr(Stats, "gauge", lambda name, value: gauges.update({name: value}))
    secret = os.environ[SECRET_VARIABLE]
    monkeypatch.delenv(SECRET_VARIABLE)
    deployment.send(notification(KEY))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: told and "is not set" in logged.text, "sentence")
            await until(lambda: gauges["xray.notifications.blocked.listen_1"] > 0.2, "gauge")
            os.environ[SECRET_VARIABLE] = secret
            await until(lambda: deployment.committed() == 1, "commit")

    with Logged() as logged:
        asyncio.run(go())
    assert len(told) == 1
    assert logged.text.count("is not set") == 1
    assert gauges["xray.notifications.blocked.listen_1"] == 0
    assert len(api.runs) == 1


@pytest.mark.parametrize(
    ("name", "error"),
    [(SECRET_VARIABLE, SettingsError), ("AIRFLOW_CONN_XRAY_API", AirflowNotFoundException)],
)
def test_it_fails_if_its_configuration_stays_incomplete(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(trigger, "RECHECK_SECONDS", 0.05)
    monkeypatch.setattr(trigger, "FAIL_SECONDS", 0.3)
    monkeypatch.delenv(name)
    began = time.monotonic()

    async def go() -> None:
        async for _ in NotificationTrigger(topic=deployment.topic).run():
            raise AssertionError("the trigger never fires")

    with pytest.raises(error):
        asyncio.run(go())
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize(
    ("commits_by_itself", "bucket", "said"),
    [
        (True, "xray-data-in", r"enable\.auto\.commit"),
        (False, "hospital-staging", "hospital-staging ends in -staging"),
    ],
)
def test_a_configuration_that_would_lose_messages_is_refused(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    commits_by_itself: bool,
    bucket: str,
    said: str,
) -> None:
    monkeypatch.setattr(trigger, "FAIL_SECONDS", 0)
    monkeypatch.setattr(trigger, "RECHECK_SECONDS", 0)
    deployment.configure(**{"enable.auto.commit": commits_by_itself})
    monkeypatch.setenv("AIRFLOW__XRAY__BUCKET", bucket)

    async def go() -> None:
        async for _ in NotificationTrigger(topic=deployment.topic).run():
            raise AssertionError("the trigger never fires")

    with pytest.raises(SettingsError, match=said):
        asyncio.run(go())
