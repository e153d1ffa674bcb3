"""The Kafka clients of the listener, made from the connection ``xray_kafka``.

The hooks of Airflow's Kafka provider read the connection. What differs here is how errors of the
client are treated: the provider's hook prints them, or raises them in the middle of a poll.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from xray.airflow import connections
from xray.errors import BlockedError, TransientError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Producer

QUIET = {"log_level": 3, "log.connection.close": False}
"""The client writes only errors to standard error. It reports what is behind its warnings, too."""
ONE_COPY = {"enable.idempotence": True, "acks": "all", "message.timeout.ms": 0}
"""However often the client sends a message, the broker keeps one copy; the client never gives up,
so that no copy of a message is on its way when the message is produced again."""

OnError = Callable[["KafkaError"], None]


def new_consumer(
    topic: str, on_error: OnError, properties: Mapping[str, Any] = MappingProxyType({})
) -> Consumer:
    """Return a consumer; ``on_error`` gets its errors, during a poll.

    Args:
        topic: the topic. The consumer is not subscribed to it yet.
        on_error: called with each error of the client.
        properties: librdkafka's, which take precedence over those of the connection.
    """
    return _consumer(topic, on_error, properties)


def new_observer(topic: str) -> Consumer:
    """Return a consumer that joins no group, to ask where partitions begin and end.

    Its errors are dropped: the consumer that reads the topic has the same ones.
    """
    return _consumer(topic, lambda _: None, {})


def _consumer(topic: str, on_error: OnError, properties: Mapping[str, Any]) -> Consumer:
    from airflow.providers.apache.kafka.hooks.consume import KafkaConsumerHook
    from confluent_kafka import Consumer

    class Hook(KafkaConsumerHook):
        # Not public, but how the provider's own hooks make their clients. The tests of refused
        # logins fail if the provider no longer calls it.
        def _get_client(self, config: dict[str, Any]) -> Consumer:
            return Consumer({**QUIET, **config, **properties, "error_cb": on_error})

    consumer: Consumer = Hook([topic], kafka_config_id=connections.KAFKA_CONNECTION).get_conn
    return consumer


def new_producer(on_error: OnError) -> Producer:
    """Return a producer that delivers a message once; ``on_error`` gets its errors."""
    from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook
    from confluent_kafka import Producer

    class Hook(KafkaProducerHook):
        # As in new_consumer().
        def _get_client(self, config: dict[str, Any]) -> Producer:
            return Producer({**QUIET, **for_producer(config), "error_cb": on_error})

    producer: Producer = Hook(connections.KAFKA_CONNECTION).get_conn
    return producer


def for_producer(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a producer for that of the connection.

    The other names of librdkafka for the properties of :data:`ONE_COPY` are left out.
    """
    aliases = ("request.required.acks", "delivery.timeout.ms")
    return {name: value for name, value in config.items() if name not in aliases} | ONE_COPY


def is_refusal(error: KafkaError) -> bool:
    """Return whether a person, or a new client, has to end this error."""
    from confluent_kafka import KafkaError

    return error.fatal() or error.code() in (
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    )


def refusal(error: KafkaError) -> BlockedError:
    """Return the failure that says what to do about ``error``."""
    return BlockedError(
        f"Kafka refuses the connection {connections.KAFKA_CONNECTION} ({error.str()}): check its "
        "login, and that its account may read the topic and use the consumer group."
    )


def failure(error: KafkaError, sentence: str) -> TransientError:
    """Return the failure for ``error``, with the ``sentence`` unless Kafka refuses the account."""
    if is_refusal(error):
        return refusal(error)
    return TransientError(f"{sentence} ({error.str()}).")
