"""xray.airflow.deployment.topics: one test for each fault of Kafka, on what Kafka describes.

tests/real/test_check.py tries the same on Apache Kafka.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from xray.airflow.deployment import topics
from xray.airflow.deployment.clients import Kafka
from xray.airflow.deployment.table import Answer, Mark

TOPIC = {"max.message.bytes": "1048588", "retention.ms": "604800000", "cleanup.policy": "delete"}
DEAD = {**TOPIC, "max.message.bytes": "2097152", "retention.ms": "31536000000"}


def description(*allowed: str, **fields: Any) -> Any:
    """What Kafka says of a topic or a group."""
    names = allowed or ("READ", "WRITE", "DESCRIBE")
    operations = [SimpleNamespace(name=name) for name in names]
    usual: dict[str, Any] = {
        "partitions": [0, 1, 2],
        "members": [1],
        "state": SimpleNamespace(name="STABLE"),
        "authorized_operations": operations,
    }
    return SimpleNamespace(**{**usual, **fields})


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that yields the answers about what a Kafka describes."""

    def ask(
        described: Mapping[str, Any] | None = None, configs: Mapping[str, Any] | None = None
    ) -> dict[str, Answer]:
        known = {"storage": description(), "storage.dlq": description(), "xray": description()}
        known |= described or {}
        settings = {"storage": TOPIC, "storage.dlq": DEAD, **(configs or {})}
        admin = SimpleNamespace(list_topics=lambda timeout: None)
        kafka = SimpleNamespace(admin=admin, group="xray")
        monkeypatch.setattr(topics, "_result", lambda *asked: known[asked[-1]])
        monkeypatch.setattr(topics, "topic_config", lambda _, topic: settings[topic])
        return {answer.name: answer for answer in topics.answers(kafka)}  # type: ignore[arg-type]

    return ask


def test_all_is_well(answered: Any) -> None:
    found = answered()
    assert {answer.mark for answer in found.values()} == {Mark.WELL}
    assert set(found) == {
        "Kafka",
        "topic storage",
        "rights on storage",
        "topic storage.dlq",
        "rights on storage.dlq",
        "configuration of the topics",
        "consumer group",
        "rights on xray",
    }


@pytest.mark.parametrize(
    ("name", "described", "mark", "sentence"),
    [
        ("topic storage", "UNKNOWN_TOPIC_OR_PART", Mark.PROBLEM, "run python -m xray setup"),
        ("topic storage", "TOPIC_AUTHORIZATION_FAILED", Mark.PROBLEM, "grant DESCRIBE"),
        ("topic storage", "_TRANSPORT", Mark.UNKNOWN, "_TRANSPORT"),
        ("rights on storage", description("DESCRIBE"), Mark.PROBLEM, "READ is not allowed"),
        ("rights on storage.dlq", description("DESCRIBE"), Mark.PROBLEM, "WRITE and READ"),
        ("rights on storage", description(authorized_operations=None), Mark.UNKNOWN, "not say"),
        ("rights on storage", description("ALL"), Mark.WELL, "allowed"),
        ("consumer group", "GROUP_AUTHORIZATION_FAILED", Mark.PROBLEM, "grant READ and DESCRIBE"),
        ("consumer group", description(members=[]), Mark.PROBLEM, "unpause xray_listener"),
        ("rights on xray", description("DESCRIBE"), Mark.PROBLEM, "READ is not allowed"),
    ],
)
def test_a_fault(answered: Any, name: str, described: Any, mark: Mark, sentence: str) -> None:
    key = "xray" if name in ("consumer group", "rights on xray") else name.split()[-1]
    answer = answered({key: described})[name]
    assert answer.mark is mark
    assert sentence in answer.sentence


@pytest.mark.parametrize(
    ("topic", "change", "sentence"),
    [
        ("storage.dlq", {"max.message.bytes": "1048588"}, "set it to 2097176"),
        ("storage.dlq", {"retention.ms": "1000"}, "Raise it"),
        ("storage", {"retention.ms": "-1"}, "Raise it"),
        ("storage", {"cleanup.policy": "compact,delete"}, "set it to delete"),
        ("storage.dlq", {"cleanup.policy": "compact"}, "set it to delete"),
    ],
)
def test_a_wrong_configuration(
    answered: Any, topic: str, change: dict[str, str], sentence: str
) -> None:
    settings = {**(DEAD if topic == "storage.dlq" else TOPIC), **change}
    answer = answered(configs={topic: settings})["configuration of the topics"]
    assert answer.mark is Mark.PROBLEM
    assert sentence in answer.sentence


def test_a_configuration_that_cannot_be_read(answered: Any) -> None:
    answer = answered(configs={"storage": None})["configuration of the topics"]
    assert answer.mark is Mark.UNKNOWN
    assert "DESCRIBE_CONFIGS" in answer.sentence


def test_letters_that_are_kept_for_ever(answered: Any) -> None:
    answer = answered(configs={"storage.dlq": {**DEAD, "retention.ms": "-1"}})
    assert answer["configuration of the topics"].sentence.endswith("kept for ever.")


def test_more_sensors_than_partitions(answered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__SENSORS", "5")
    answer = answered()["topic storage"]
    assert answer.mark is Mark.LIMIT
    assert "3 partitions for 5 sensors" in answer.sentence


def test_a_controller_that_is_away_is_not_waited_for_twice(answered: Any) -> None:
    found = answered({"storage": topics.TIMED_OUT})
    assert set(found) == {"Kafka", "topics"}
    assert found["topics"].mark is Mark.UNKNOWN


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (KafkaError._AUTHENTICATION, "refuses the login"),
        (KafkaError._SSL, "security.protocol"),
        (KafkaError._RESOLVE, "check bootstrap.servers"),
        (KafkaError._TRANSPORT, "does not answer at 127.0.0.1:9"),
    ],
)
def test_why_no_broker_answers(monkeypatch: pytest.MonkeyPatch, code: int, sentence: str) -> None:
    extra = {"bootstrap.servers": "127.0.0.1:9", "group.id": "xray"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_XRAY_KAFKA", json.dumps({"conn_type": "kafka", "extra": extra})
    )
    kafka = Kafka()
    kafka.errors.append(KafkaError(code))
    error = SimpleNamespace(args=[KafkaError(KafkaError._TRANSPORT)])
    assert sentence in kafka.failure(error)


def test_a_broker_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"bootstrap.servers": "127.0.0.1:9", "group.id": "xray"}
    connection = json.dumps({"conn_type": "kafka", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", connection)
    monkeypatch.setattr(topics, "SECONDS", 1.0)
    (answer,) = topics.answers(Kafka())
    assert answer.mark is Mark.PROBLEM
    assert "127.0.0.1:9" in answer.sentence
