"""xray.airflow.jobs.replay: on a broker and an API server of the tests' own"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from tests.support import KEYRING, notification
from tests.support.deployment import Deployment, until
from tests.support.fake_api import FakeApi
from xray.airflow.api import RunsClient
from xray.airflow.jobs import replay
from xray.airflow.jobs.replay import TELLS_END, read_dead_letters
from xray.airflow.listener.run_starter import RunStarter
from xray.settings import Settings


def reader(deployment: Deployment, kind: type[Consumer] = Consumer) -> Consumer:
    """Return a consumer for dead letters."""
    return kind({"bootstrap.servers": deployment.brokers, "group.id": "replay", **TELLS_END})


def replayed(deployment: Deployment, api: FakeApi, **choice: Any) -> dict[str, Any]:
    """Replay the dead letters and return the counts."""
    consumer = reader(deployment)

    async def go() -> dict[str, Any]:
        async with RunsClient(api.url, "xray", "right") as client:
            starter = RunStarter(
                client, dag_id="d", keyring=KEYRING, settings=Settings(), wait=False
            )
            letters = read_dead_letters(consumer, deployment.dead, None)
            return await replay.replay(letters, starter, **choice)

    try:
        return asyncio.run(go())
    finally:
        consumer.close()


def test_dead_letters_are_replayed_after_the_cause_is_fixed(
    deployment: Deployment, api: FakeApi
) -> None:
    deployment.send(b"nonsense", notification("a"), notification("b"), notification("c"))
    api.refuse = [422] * 3

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 4, "commit")

    asyncio.run(go())
    assert api.runs == {}

    dry = replayed(deployment, api, dry_run=True)
    assert (dry["letters"], dry["replayed"], dry["started"]) == (4, 0, 0)
    assert sorted(dry["reasons"].values()) == [1, 3]
    assert api.runs == {}

    by_reason = replayed(deployment, api, reason="422")
    assert (by_reason["replayed"], by_reason["started"], by_reason["still_bad"]) == (3, 3, 0)
    assert api.object_keys() == ["a", "b", "c"]

    again = replayed(deployment, api)
    assert (again["replayed"], again["started"], again["duplicate"]) == (4, 0, 3)
    assert again["still_bad"] == 1
    assert list(again["reasons"].values()) == [1]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silence of five seconds is an error."""
    monkeypatch.setattr(replay, "SILENCE_SECONDS", 5.0)


def read(
    consumer: Consumer, deployment: Deployment, since: datetime | None = None
) -> list[bytes | None]:
    """Return the values of the dead letters."""
    try:
        return [letter.value for letter in read_dead_letters(consumer, deployment.dead, since)]
    finally:
        consumer.close()


def test_the_letters_since_a_time_are_read(deployment: Deployment) -> None:
    begun = datetime.now(UTC).replace(microsecond=0)
    for minute in range(4):
        written = int((begun + timedelta(minutes=minute)).timestamp() * 1000)
        deployment.producer.produce(deployment.dead, b"%d" % minute, timestamp=written)
    assert deployment.producer.flush(10) == 0
    for minute, count in ((-1, 4), (2, 2), (4, 0)):
        found = read(reader(deployment), deployment, begun + timedelta(minutes=minute))
        assert sorted(found) == [b"0", b"1", b"2", b"3"][4 - count :]


@pytest.mark.usefixtures("impatient")
def test_the_end_is_reached_though_the_last_offset_has_no_message(deployment: Deployment) -> None:
    """As after compaction: the end offset is higher than that after the last message."""

    class Compacted(Consumer):  # type: ignore[misc]
        def get_watermark_offsets(self, *arguments: Any, **options: Any) -> tuple[int, int]:
            low, high = super().get_watermark_offsets(*arguments, **options)
            return low, high + 3

    deployment.producer.produce(deployment.dead, b"letter")
    assert deployment.producer.flush(10) == 0
    assert read(reader(deployment, Compacted), deployment) == [b"letter"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("end", ["commit", "abort"])
def test_the_end_is_reached_behind_a_transaction(deployment: Deployment, end: str) -> None:
    """The last offset is that of the mark of its end, on Apache Kafka."""
    deployment.producer.produce(deployment.dead, b"letter", partition=0)
    assert deployment.producer.flush(10) == 0
    producer = Producer(
        {"bootstrap.servers": deployment.brokers, "transactional.id": deployment.dead}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(deployment.dead, b"in a transaction", partition=0)
    assert producer.flush(10) == 0
    getattr(producer, f"{end}_transaction")(30)
    values = read(reader(deployment), deployment)
    assert values[0] == b"letter"
