"""xray.airflow.listener.dead_letters: the content of the topic, and failures to write to it"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.support import notification
from tests.support.deployment import Deployment, until
from tests.support.fake_api import FakeApi
from xray.airflow.listener.dead_letters import DeadLetterProducer


def test_an_unreadable_message_is_a_dead_letter_and_stops_no_other(
    deployment: Deployment, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [b"nonsense", b"{}", b"\xff"]
    deployment.send(bad[0], notification("a"), *bad[1:], notification("b"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 5, "commit of all offsets")

    asyncio.run(go())
    assert api.object_keys() == ["a", "b"]
    letters = deployment.dead_letters(3)
    assert {value for value, _ in letters} == set(bad)
    for _, headers in letters:
        assert headers["xray-reason"]
        assert headers["xray-topic"] == deployment.topic
        assert int(headers["xray-offset"]) >= 0


def test_a_dead_letter_that_the_broker_refuses_is_sent_again(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver, failures = DeadLetterProducer.deliver, [KafkaError._TIMED_OUT] * 2

    def failing(self: DeadLetterProducer, *arguments: Any) -> Any:
        return KafkaError(failures.pop()) if failures else deliver(self, *arguments)

    monkeypatch.setattr(DeadLetterProducer, "deliver", failing)
    deployment.send(b"nonsense", notification("good"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 2, "commit")

    asyncio.run(go())
    assert not failures
    assert len(deployment.dead_letters(1)) == 1
    assert len(api.runs) == 1


def test_a_dead_letter_too_large_for_its_topic_says_where_the_message_is(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = DeadLetterProducer.deliver

    def limited(self: DeadLetterProducer, key: Any, value: Any, headers: Any) -> Any:
        if len(value or b"") > 10:
            return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        return deliver(self, key, value, headers)

    monkeypatch.setattr(DeadLetterProducer, "deliver", limited)
    deployment.send(b"nonsense, and much of it")

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())
    ((value, headers),) = deployment.dead_letters(1)
    assert value is None
    assert headers["xray-left-out"] == "24 bytes"
    assert headers["xray-topic"] == deployment.topic
