"""A Kafka-protocol broker in a process of its own: librdkafka's mock cluster.

Prints its address, then serves until its standard input closes. It keeps its
messages in memory, creates a topic on first use, and is gone when it ends.
"""

from __future__ import annotations

import sys

from confluent_kafka import Producer


def main() -> None:
    """Serve."""
    cluster = Producer({"test.mock.num.brokers": 1})
    brokers = cluster.list_topics(timeout=30).brokers.values()
    print(",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
