"""The listener: Kafka messages in, one DAG run per notification out."""

# ruff: noqa: F822 - submodules, which are not imported here

__all__ = [
    "backoff",
    "blame",
    "consumer",
    "dead_letters",
    "gaps",
    "kafka_clients",
    "listener",
    "metrics",
    "partitions",
    "report",
    "run_starter",
    "sensor",
    "trigger",
]
