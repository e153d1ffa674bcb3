"""Print the notifications of the store: ``python -m include.stack.events``.

This consumer has its own consumer group, so the pipeline still receives every message. The keys of
the objects are left out, because they name patients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from confluent_kafka import Consumer, Message

from xray.airflow.config import TOPIC
from xray.errors import NotificationError
from xray.notification import parse

GROUP = "xray-events"


def main() -> None:
    """Print the notifications; never returns."""
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKERS"],
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([TOPIC])
    while True:
        message = consumer.poll(60)
        if message is not None and not message.error():
            for line in lines(message):
                print(line, flush=True)


def lines(message: Message) -> Iterator[str]:
    """Yield a line of JSON for each event of a message."""
    place = {"partition": message.partition(), "offset": message.offset()}
    try:
        notification = parse(message.value())
    except NotificationError as error:
        yield json.dumps({**place, "error": str(error)})
        return
    for record in notification.records:
        fields = ("event", "bucket", "size", "event_time", "dialect")
        yield json.dumps({**place, **{name: getattr(record, name) for name in fields}})
    for part in notification.skipped:
        yield json.dumps({**place, "event": part.event, "skipped": part.reason})


if __name__ == "__main__":
    main()
