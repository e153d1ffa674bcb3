"""The dead-letter topic: the messages for which no run can be started, with the reason.

A dead letter is the original message, unchanged, with these headers:

| header | holds |
|---|---|
| `xray-reason` | why no run could be started |
| `xray-topic`, `xray-partition`, `xray-offset` | where the message was |
| `xray-time` | its time in Kafka, in milliseconds since 1970 |
| `xray-left-out` | the size of the message, if it was too large to be copied |
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from xray.airflow import connections
from xray.errors import TransientError

if TYPE_CHECKING:
    from confluent_kafka import Message, Producer

log = logging.getLogger(__name__)

REASON_HEADER = "xray-reason"
LEFT_OUT_HEADER = "xray-left-out"
DELIVERY_SECONDS = 60.0
"""How long to wait until the broker confirms a dead letter, in seconds."""


class DeadLetterProducer:
    """Writes messages to the dead-letter topic.

    The Kafka client blocks, so the producer has a thread of its own.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-dead-letters")
        self._producer: Producer | None = None

    async def send(self, message: Message, reason: str) -> None:
        """Write ``message`` to the topic with the ``reason``, and wait until the broker has it.

        Raises:
            TransientError: the broker did not confirm the dead letter.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._send, message, reason)
        log.warning(
            "Dead letter from partition %d, offset %d: %s",
            message.partition(),
            message.offset(),
            reason,
        )

    def _send(self, message: Message, reason: str) -> None:
        from confluent_kafka import KafkaError

        headers = [*(message.headers() or ()), *dead_letter_headers(message, reason)]
        error = self.deliver(message.key(), message.value(), headers)
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            # The headers made the message too large. Its content is still on its own topic.
            size = len(message.value() or b"")
            error = self.deliver(
                None, None, [*headers, (LEFT_OUT_HEADER, f"{size} bytes".encode())]
            )
        if error is not None:
            raise TransientError(
                f"The dead-letter topic {self._topic} does not accept a message ({error.str()}): "
                "check that the topic exists and that the account of the connection "
                f"{connections.KAFKA_CONNECTION} may write to it."
            )

    def deliver(
        self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> Any:
        """Produce one message; return the Kafka error, or None once the broker has the message."""
        from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook
        from confluent_kafka import KafkaError, KafkaException

        if self._producer is None:
            self._producer = KafkaProducerHook(connections.KAFKA_CONNECTION).get_producer()
        results: list[Any] = []
        try:
            self._producer.produce(
                self._topic,
                key=key,
                value=value,
                headers=headers,
                on_delivery=lambda error, _: results.append(error),
            )
        except KafkaException as error:
            return error.args[0]
        deadline = time.monotonic() + DELIVERY_SECONDS
        while not results and time.monotonic() < deadline:
            self._producer.poll(1.0)
        return results[0] if results else KafkaError(KafkaError._TIMED_OUT)

    def close(self) -> None:
        """Stop the thread. After an orderly end of the listener, no dead letter is pending."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def dead_letter_headers(message: Message, reason: str) -> list[tuple[str, bytes]]:
    """Return the headers that say why ``message`` is a dead letter, and where it was and when."""
    return [
        (REASON_HEADER, reason.encode()),
        ("xray-topic", str(message.topic()).encode()),
        ("xray-partition", str(message.partition()).encode()),
        ("xray-offset", str(message.offset()).encode()),
        ("xray-time", str(message.timestamp()[1]).encode()),
    ]
