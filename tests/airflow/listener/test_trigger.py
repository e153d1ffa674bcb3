"""xray.airflow.listener.trigger: on a broker and an API server of the tests' own"""

from __future__ import annotations

import asyncio
import threading
import traceback
from typing import Any

import pytest

from tests.support import notification
from tests.support.deployment import KEY, Deployment, until
from tests.support.fake_api import FakeApi
from xray.airflow import store_check
from xray.airflow.listener.consumer import NotificationConsumer
from xray.airflow.listener.trigger import NotificationTrigger
from xray.airflow.unexpected import UnexpectedError
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
    assert "Ada" not in str(api.runs), "the keys are sealed"


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
