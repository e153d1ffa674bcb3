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
import contextvars
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from xray.airflow import connections
from xray.airflow.listener import kafka_clients
from xray.airflow.listener.backoff import LimitedLog
from xray.errors import TransientError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

REASON_HEADER = "xray-reason"
TOPIC_HEADER = "xray-topic"
PARTITION_HEADER = "xray-partition"
OFFSET_HEADER = "xray-offset"
LEFT_OUT_HEADER = "xray-left-out"
DELIVERY_SECONDS = 60.0
"""How long to wait until the broker confirms a dead letter before saying that it does not."""
POLL_SECONDS = 1.0
"""How long to wait before looking whether Kafka refuses the producer."""
MOST_REMEMBERED = 10_000
"""Letters that are known to be on the topic, at most."""

Headers = list[tuple[str, bytes]]


class Letter(NamedTuple):
    """What tells a dead letter from others: a topic that is created again has the same offsets."""

    topic: str
    partition: int
    offset: int
    milliseconds: int
    content: bytes
    """The hash of the message."""
    left_out: bool = False
    """Whether the letter has no content."""

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the letter for a ``message``."""
        return cls(
            str(message.topic()),
            int(message.partition()),
            int(message.offset()),
            int(message.timestamp()[1]),
            sha256(message.value() or b"").digest(),
        )


class DeadLetterProducer:
    """Writes messages to the dead-letter topic.

    The Kafka client blocks, so the producer has a thread of its own. A dead letter is given to the
    client once, which sends it until the broker has it: waiting for it again produces no copy.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-dead-letters")
        self._producer: Producer | None = None
        self._refusal: Any = None
        """The error with which Kafka has refused the producer."""
        self._deliveries: OrderedDict[Letter, list[Any]] = OrderedDict()
        """The results of the newest letters: empty while one is on its way, [None] if the broker
        has it."""
        self._closing = False
        self._log = LimitedLog(log)

    async def send(self, message: Message, reason: str) -> None:
        """Write ``message`` to the topic with the ``reason``, and wait until the broker has it.

        Raises:
            TransientError: the broker has not confirmed the dead letter. If it is sent again, the
                wait continues.
        """
        run = contextvars.copy_context().run  # The log of the task is in the context.
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, run, self._send, message, reason)
        where = f" (partition {message.partition()}, offset {message.offset()})"
        self._log(logging.WARNING, f"Dead letter: {reason}", where)

    def _send(self, message: Message, reason: str) -> None:
        from confluent_kafka import KafkaError

        headers = [*(message.headers() or ()), *dead_letter_headers(message, reason)]
        letter = Letter.of(message)
        error = self.deliver(letter, message.key(), message.value(), headers)
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            # The headers made the message too large. Its content is still on its own topic.
            size = f"{len(message.value() or b'')} bytes".encode()
            left_out = letter._replace(left_out=True)
            error = self.deliver(left_out, None, None, [*headers, (LEFT_OUT_HEADER, size)])
        if error is not None:
            raise TransientError(
                f"The dead-letter topic {self._topic} does not accept a message ({error.str()}): "
                "check that the topic exists and that the account of the connection "
                f"{connections.KAFKA_CONNECTION} may write to it."
            )

    def deliver(
        self, letter: Letter, key: bytes | None, value: bytes | None, headers: Headers
    ) -> Any:
        """Produce a letter unless it is on its way or on the topic already, and wait for it.

        Returns:
            The Kafka error, or None once the broker has the letter.
        """
        from confluent_kafka import KafkaError, KafkaException

        if (results := self._deliveries.get(letter)) is None:
            results = []
            try:
                self._client().produce(
                    self._topic,
                    key=key,
                    value=value,
                    headers=headers,
                    on_delivery=lambda error, _: results.append(error),
                )
            except KafkaException as error:
                return error.args[0]
            self._deliveries[letter] = results
            while len(self._deliveries) > MOST_REMEMBERED and next(iter(self._deliveries.values())):
                self._deliveries.popitem(last=False)
        deadline = time.monotonic() + DELIVERY_SECONDS
        while not results and time.monotonic() < deadline and not self._closing:
            self._client().poll(POLL_SECONDS)
            if self._refusal:
                self._drop()
        if not results:
            return KafkaError(KafkaError._TIMED_OUT)
        if results[0] is not None:
            del self._deliveries[letter]
            if results[0].fatal():
                self._drop()
        return results[0]

    def _client(self) -> Producer:
        if self._producer is None:
            self._refusal = None
            self._producer = kafka_clients.new_producer(self._on_error)
        return self._producer

    def _on_error(self, error: KafkaError) -> None:
        if kafka_clients.is_refusal(error):
            self._refusal = error
            self._log(logging.WARNING, str(kafka_clients.refusal(error)))

    def _drop(self) -> None:
        """Drop the client and its letters, which get an error; the next one reads the connection.

        No copy of them is sent after that.
        """
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(POLL_SECONDS)
            self._producer = None

    async def close(self) -> None:
        """Stop, and let no letter that is on its way follow later."""
        self._closing = True
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._drop))
        self._thread.shutdown(wait=False, cancel_futures=True)


def dead_letter_headers(message: Message, reason: str) -> list[tuple[str, bytes]]:
    """Return the headers that say why ``message`` is a dead letter, and where it was and when."""
    return [
        (REASON_HEADER, reason.encode()),
        (TOPIC_HEADER, str(message.topic()).encode()),
        (PARTITION_HEADER, str(message.partition()).encode()),
        (OFFSET_HEADER, str(message.offset()).encode()),
        ("xray-time", str(message.timestamp()[1]).encode()),
    ]
