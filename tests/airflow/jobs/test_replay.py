"""xray.airflow.jobs.replay: on a broker and an API server of the tests' own"""

from __future__ import annotations

import asyncio
from typing import Any

from confluent_kafka import Consumer

from tests.support import KEYRING, notification
from tests.support.deployment import Deployment, until
from tests.support.fake_api import FakeApi
from xray.airflow.api import RunsClient
from xray.airflow.jobs import replay
from xray.airflow.jobs.replay import read_dead_letters
from xray.airflow.listener.run_starter import RunStarter
from xray.settings import Settings


def replayed(deployment: Deployment, api: FakeApi, **choice: Any) -> dict[str, Any]:
    """Replay the dead letters and return the counts."""
    consumer = Consumer({"bootstrap.servers": deployment.brokers, "group.id": "replay"})

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
