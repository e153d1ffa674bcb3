"""A Kafka-protocol broker in a process of its own: librdkafka's mock cluster.

``python -m include.servers.embedded.broker`` prints the broker's address, then serves until its
standard input closes. It keeps the messages in memory and creates a topic on first use.
"""

from __future__ import annotations

import sys
from typing import ClassVar

from confluent_kafka import Producer

from include.servers.base import EmbeddedServer


class Broker(EmbeddedServer):
    """The mock cluster in a child process."""

    name: ClassVar[str] = "broker"
    timeout: ClassVar[float] = 30.0

    def command(self) -> list[str]:
        """Return the command that runs this module."""
        return [sys.executable, "-m", "include.servers.embedded.broker"]


def main() -> None:
    """Serve until the standard input closes."""
    cluster = Producer({"test.mock.num.brokers": 1})
    brokers = cluster.list_topics(timeout=30).brokers.values()
    print(",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
