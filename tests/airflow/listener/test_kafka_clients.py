"""xray.airflow.listener.kafka_clients"""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from tests.support.deployment import Deployment
from xray.airflow.listener import kafka_clients


def test_the_errors_of_a_client_are_reported(deployment: Deployment) -> None:
    """The provider's hook would raise some of them in a poll, and print the others."""
    deployment.connect("127.0.0.1:1")
    found: list[KafkaError] = []
    consumer = kafka_clients.new_consumer("storage", found.append)
    for _ in range(100):
        consumer.poll(0.1)
        if found:
            break
    consumer.close()
    assert found[0].code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)
    assert not kafka_clients.is_refusal(found[0])


def test_a_producer_keeps_one_copy_whatever_the_connection_says(deployment: Deployment) -> None:
    config = {"request.required.acks": 1, "acks": 0, "enable.idempotence": False}
    config |= {"message.timeout.ms": 5000, "delivery.timeout.ms": 5000, "client.id": "xray"}
    assert kafka_clients.for_producer(config) == {"client.id": "xray", **kafka_clients.ONE_COPY}
    deployment.configure(**config)
    producer = kafka_clients.new_producer(lambda _: None)
    producer.produce(deployment.topic, b"one")
    assert producer.flush(10) == 0


@pytest.mark.parametrize("code", ["_AUTHENTICATION", "_SSL", "TOPIC_AUTHORIZATION_FAILED"])
def test_a_refusal_says_what_to_do(code: str) -> None:
    error = KafkaError(getattr(KafkaError, code))
    assert kafka_clients.is_refusal(error)
    assert "check its login" in str(kafka_clients.failure(error, "Never said"))
    other = kafka_clients.failure(KafkaError(KafkaError._TIMED_OUT), "Kafka does not tell it")
    assert str(other) == "Kafka does not tell it (Local: Timed out)."
