"""xray.airflow.listener.run_starter: which failures make a dead letter"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support import notification
from tests.support.deployment import KEY, Deployment, Logged, until
from tests.support.fake_api import POISON, FakeApi
from xray.case import Source
from xray.pseudonym import Keyring


def test_a_refused_run_is_a_dead_letter(deployment: Deployment, api: FakeApi) -> None:
    api.refuse = [422]
    deployment.send(notification(KEY))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())
    assert api.runs == {}
    ((value, headers),) = deployment.dead_letters(1)
    assert value == notification(KEY)
    assert "422" in headers["xray-reason"]


def test_a_run_that_breaks_the_api_stops_no_other(deployment: Deployment, api: FakeApi) -> None:
    deployment.send(notification(POISON))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: api.logins == 1, "login")
            for number in range(2000):  # The run is to blame only while others start.
                deployment.send(notification(f"{KEY}{number}"))
                await asyncio.sleep(0.02)
                if "Dead letter" in logged.text:
                    break
            await until(lambda: deployment.committed() == number + 2, "commit")

    with Logged() as logged:
        asyncio.run(go())
    assert len(api.runs) == len(set(api.object_keys()))
    ((value, headers),) = deployment.dead_letters(1)
    assert value == notification(POISON)
    assert "this run is to blame" in headers["xray-reason"]


def test_a_bad_record_does_not_stop_the_other_records_of_its_message(
    deployment: Deployment, api: FakeApi
) -> None:
    two = json.loads(notification("a"))
    two["Records"] += [{"nonsense": 1}, *json.loads(notification("b"))["Records"]]
    deployment.send(json.dumps(two).encode())

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())
    assert api.object_keys() == ["a", "b"]
    ((_, headers),) = deployment.dead_letters(1)
    assert "eventName" in headers["xray-reason"]


def test_an_unexpected_error_is_a_dead_letter_without_its_message(
    deployment: Deployment,
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(self: Source, keyring: Keyring) -> str:
        raise ZeroDivisionError(self.key)

    deployment.send(notification(KEY))
    with monkeypatch.context() as patch:
        patch.setattr(Source, "run_id", broken)

        async def go() -> None:
            async with deployment.running():
                await until(lambda: deployment.committed() == 1, "commit")

        asyncio.run(go())
    ((_, headers),) = deployment.dead_letters(1)
    assert "ZeroDivisionError" in headers["xray-reason"]
    assert "Ada" not in headers["xray-reason"] + caplog.text
