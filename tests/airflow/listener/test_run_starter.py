"""xray.airflow.listener.run_starter: which failures make a dead letter"""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support import KEYRING, notification
from tests.support.deployment import KEY, Deployment, Logged, until
from tests.support.fake_api import POISON, FakeApi
from xray.airflow.api import RunsClient
from xray.airflow.listener import blame
from xray.airflow.listener.run_starter import RunStarter, StartResult
from xray.case import Source
from xray.pseudonym import Keyring
from xray.settings import Settings


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


def test_a_run_that_breaks_the_api_stops_no_other(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blame, "SECONDS", 2.0)
    monkeypatch.setattr(blame, "FAILURES", 4)
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


def removal(key: str = KEY, *, sequencer: str = "2") -> bytes:
    """The notification of a deletion."""
    content = json.loads(notification(key, sequencer=sequencer))
    content["Records"][0]["eventName"] = "ObjectRemoved:Delete"
    return json.dumps(content).encode()


def started(api: FakeApi, *messages: bytes, follow: bool) -> list[StartResult]:
    """Start the runs of messages, without a broker."""

    async def start() -> list[StartResult]:
        async with RunsClient(api.url, "xray", "right") as client:
            settings = Settings(follow_deletions=follow)
            starter = RunStarter(client, dag_id="xray_case", keyring=KEYRING, settings=settings)
            return [await starter.start_runs(message) for message in messages]

    return asyncio.run(start())


def test_a_removal_starts_nothing_by_default(api: FakeApi) -> None:
    (result,) = started(api, removal(), follow=False)
    assert api.runs == {}
    assert result.counts == {"skipped": 1}


def test_a_removal_starts_one_deletion_that_names_no_one(api: FakeApi) -> None:
    messages = (notification(KEY), removal(), removal(), removal(sequencer="3"))
    results = started(api, *messages, follow=True)
    assert [dict(+result.counts) for result in results] == [
        {"started": 1},
        {"started": 1},
        {"duplicate": 1},
        {"started": 1},
    ]
    case, *deletions = api.runs
    assert list(api.dags.values()) == ["xray_case", "xray_forget", "xray_forget"]
    for run_id in deletions:
        assert run_id.startswith("xray_forget__")
        conf = api.runs[run_id]
        assert Source.from_conf(conf, KEYRING).key == KEY
        assert "case_id" not in conf
        assert case.removeprefix("xray__")[:16] not in run_id + json.dumps(conf)
        assert "Ashgrove" not in run_id + json.dumps(conf)


def test_a_removal_that_cannot_be_read_is_a_dead_letter_if_removals_are_followed(
    api: FakeApi,
) -> None:
    bad = removal("k" * 1025)
    (ignored,) = started(api, bad, follow=False)
    assert ignored.dead_letter_reason is None
    (result,) = started(api, bad, follow=True)
    assert result.dead_letter_reason == "The object key has 1025 bytes; at most 1024."


def test_people_are_told_once_of_each_cause_that_blocks_all_runs(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray.airflow.listener.backoff.LONGEST_PAUSE", 0.01)
    told: list[str] = []
    api.refuse = [403, 403, 404, 404, 503]

    async def go() -> None:
        async with RunsClient(api.url, "xray", "right") as client:
            starter = RunStarter(
                client,
                dag_id="xray_case",
                keyring=KEYRING,
                settings=Settings(),
                on_blocked=told.append,
            )
            await starter.start_runs(notification("a"))
            api.refuse = [403]
            await starter.start_runs(notification("b"))

    asyncio.run(go())
    assert ["may not" in one for one in told] == [True, False, True]
    assert api.object_keys() == ["a", "b"]
