"""Print what the store announces: ``python -m include.stack.events``.

A second reader of the topic, in a consumer group of its own: it takes nothing away from the
pipeline. An object's key names a patient, so it is left out.
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
    """Print, for ever."""
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
    """What a message holds, a line of JSON for each part."""
    place = {"partition": message.partition(), "offset": message.offset()}
    try:
        notification = parse(message.value())
    except NotificationError as error:
        yield json.dumps({**place, "error": str(error)})
        return
    for record in notification.records:
        told = {name: getattr(record, name) for name in ("event", "bucket", "size", "event_time")}
        yield json.dumps({**place, **told, "dialect": record.dialect})
    for part in notification.skipped:
        yield json.dumps({**place, "event": part.event, "skipped": part.reason})


if __name__ == "__main__":
    main()
