"""The demo's stack for end-to-end tests: on embedded servers, or on real ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from include.demo.stack import Stack
from include.servers.processes import marked
from include.servers.real.kafka import Kafka
from include.servers.real.versitygw import Versitygw
from xray.airflow.config import TOPIC
from xray.airflow.deployment.wanted import TOPICS


@contextmanager
def running(home: Path, *, real: bool, **options: Any) -> Iterator[Stack]:
    """Start a stack; afterwards, no process of it is left.

    Args:
        home: its folder. The real servers have a folder beside it.
        real: whether to run it on Apache Kafka, and on a gateway that sends notifications.
        options: of the stack.
    """
    with ExitStack() as servers:
        if real:
            folder = home.with_name(f"{home.name}-servers")
            folder.mkdir()
            kafka = servers.enter_context(Kafka(folder / "kafka"))
            for topic, want in TOPICS.items():
                kafka.create_topic(topic, want.partitions, **want.config)
            gateway = servers.enter_context(
                Versitygw(folder / "versitygw", brokers=kafka.brokers, topic=TOPIC)
            )
            store = (gateway.endpoint, gateway.access_key, gateway.secret_key)
            options |= {"kafka": kafka.client, "store": store}
        stack = Stack(home=home, **options)
        with stack:
            yield stack
    assert marked(stack.mark) == [], "no process is left"
