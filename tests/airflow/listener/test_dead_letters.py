"""xray.airflow.listener.dead_letters: the content of the topic, and failures to write to it"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from include.servers.embedded.broker import Broker
from tests.support import notification
from tests.support.deployment import Deployment, until
from tests.support.fake_api import FakeApi
from xray.airflow.listener import dead_letters
from xray.airflow.listener.dead_letters import DeadLetterProducer
from xray.errors import TransientError


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

    def limited(self: DeadLetterProducer, letter: Any, key: Any, value: Any, headers: Any) -> Any:
        if len(value or b"") > 10:
            return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        return deliver(self, letter, key, value, headers)

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


class Bad:
    """A message for which no run can be started."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return "storage"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return b"nonsense"

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000


def test_a_silent_broker_gets_one_copy_of_each_letter(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The broker answers nothing during five attempts, and then everything."""
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0.1)
    with Broker(env=dict(os.environ), log=tmp_path / "log") as broker:
        deployment.connect(broker.address)
        assert broker.child is not None

        async def go() -> None:
            producer = DeadLetterProducer(deployment.dead)
            await producer.send(Bad(1), "bad")  # type: ignore[arg-type]
            broker.child.process.send_signal(signal.SIGSTOP)
            monkeypatch.setattr(dead_letters, "DELIVERY_SECONDS", 0.2)
            try:
                for _ in range(5):
                    with pytest.raises(TransientError, match="does not accept"):
                        await producer.send(Bad(2), "bad")  # type: ignore[arg-type]
            finally:
                broker.child.process.send_signal(signal.SIGCONT)
            monkeypatch.setattr(dead_letters, "DELIVERY_SECONDS", 60)
            for number in (2, 3, 1, 2):  # The listener may read a message again.
                await producer.send(Bad(number), "bad")  # type: ignore[arg-type]
            await producer.close()

        asyncio.run(go())
        letters = deployment.dead_letters(3)
        assert sorted(headers["xray-offset"] for _, headers in letters) == ["1", "2", "3"]
        assert deployment.end(deployment.dead) == 3


def test_a_refused_login_is_replaced_by_that_of_the_connection(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letter that the refused client has is given up, and sent by the next client."""
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0.1)

    async def go() -> None:
        producer = DeadLetterProducer(deployment.dead)
        good = deployment.brokers
        deployment.connect("127.0.0.1:1")
        sending = asyncio.ensure_future(producer.send(Bad(1), "bad"))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        deployment.connect(good)
        producer._on_error(KafkaError(KafkaError._AUTHENTICATION))
        with pytest.raises(TransientError, match="does not accept"):
            await sending
        await producer.send(Bad(1), "bad")  # type: ignore[arg-type]
        await producer.close()

    asyncio.run(go())
    assert len(deployment.dead_letters(1)) == 1
