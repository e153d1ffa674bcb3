"""Kafka: the topics, the rights on them, and the consumer group of the listener.

Kafka says which operations the account is allowed, so nothing has to be written to try them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xray.airflow import config, connections
from xray.airflow.deployment import wanted
from xray.airflow.deployment.clients import SECONDS, Kafka
from xray.airflow.deployment.stores import SETUP
from xray.airflow.deployment.table import Answer, limit, problem, unknown, well

RIGHTS = {
    config.TOPIC: ("READ", "DESCRIBE"),
    config.DEAD_LETTER_TOPIC: ("WRITE", "READ", "DESCRIBE"),
}
"""What the account needs to do with each topic. ``xray_replay`` and the page *Dead letters* read
the dead letters."""
UNLIMITED = "-1"
TIMED_OUT = "_TIMED_OUT"


def answers(kafka: Kafka) -> Iterator[Answer]:
    """Yield whether Kafka answers, and what the listener needs of it."""
    from confluent_kafka import KafkaException

    try:
        kafka.admin.list_topics(timeout=SECONDS)
    except KafkaException as error:
        yield problem("Kafka", kafka.failure(error))
        return
    yield well("Kafka", "It answers, and takes the login.")
    found = {}
    for topic in wanted.TOPICS:
        description = _result(kafka, "describe_topics", _collection(topic), topic)
        if description == TIMED_OUT:
            yield unknown("topics", "Kafka answers, but its controller does not describe them.")
            return
        yield topic_answer(topic, description)
        if not isinstance(description, str):
            yield rights_answer(f"rights on {topic}", description, RIGHTS[topic], kafka.group)
            found[topic] = topic_config(kafka, topic)
    yield from config_answers(found)
    yield from group_answers(kafka)


def _collection(topic: str) -> Any:
    from confluent_kafka import TopicCollection

    return TopicCollection([topic])


def _result(kafka: Kafka, method: str, asked: Any, key: Any) -> Any:
    """Return the description of a topic or a group; the name of Kafka's error if there is none.

    The client reports a timeout in either of two ways.
    """
    from confluent_kafka import KafkaException

    try:
        futures = getattr(kafka.admin, method)(
            asked, include_authorized_operations=True, request_timeout=SECONDS
        )
        return futures[key].result(2 * SECONDS)
    except KafkaException as error:
        return str(error.args[0].name())
    except TimeoutError:
        return TIMED_OUT


def topic_answer(topic: str, description: Any) -> Answer:
    """Return whether a topic is there.

    Args:
        topic: the name.
        description: what Kafka says of it, or the name of an error.
    """
    name = f"topic {topic}"
    match description:
        case "UNKNOWN_TOPIC_OR_PART":
            return problem(name, f"It does not exist, or the account may not see it: {SETUP}.")
        case "TOPIC_AUTHORIZATION_FAILED":
            return problem(
                name,
                f"The account of {connections.KAFKA_CONNECTION} may not see it: grant DESCRIBE on "
                f"the topic {topic}.",
            )
        case str():
            return unknown(name, f"Kafka does not describe it ({description}).")
    count, sensors = len(description.partitions), config.sensors()
    if topic == config.TOPIC and count < sensors:
        return limit(
            name,
            f"It has {count} partitions for {sensors} sensors: {sensors - count} sensors stay "
            "idle. Add partitions, or lower [xray] sensors.",
        )
    return well(name, f"It exists, with {count} {'partition' if count == 1 else 'partitions'}.")


def rights_answer(name: str, description: Any, needed: tuple[str, ...], group: str) -> Answer:
    """Return whether the account is allowed the operations that the pipeline needs.

    Args:
        name: what the answer is about.
        description: what Kafka says of the topic or group.
        needed: the operations.
        group: the consumer group, for the sentence.
    """
    allowed = getattr(description, "authorized_operations", None)
    if not allowed:
        return unknown(name, "This Kafka does not say what the account may do.")
    names = {operation.name for operation in allowed}
    missing = [] if "ALL" in names else [one for one in needed if one not in names]
    if missing:
        account = f"the account of {connections.KAFKA_CONNECTION} (group {group})"
        return problem(name, f"{' and '.join(missing)} is not allowed: grant it to {account}.")
    return well(name, f"The account is allowed {', '.join(needed).lower()}.")


def topic_config(kafka: Kafka, topic: str) -> Mapping[str, str] | None:
    """Return the configuration of a topic; None if the account may not read it."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource, ResourceType

    asked = ConfigResource(ResourceType.TOPIC, topic)
    try:
        (future,) = kafka.admin.describe_configs([asked], request_timeout=SECONDS).values()
        return {name: str(entry.value) for name, entry in future.result(2 * SECONDS).items()}
    except (KafkaException, TimeoutError):
        return None


def config_answers(found: Mapping[str, Mapping[str, str] | None]) -> Iterator[Answer]:
    """Yield whether the topics keep what they must, and whether a dead letter fits.

    Args:
        found: the configuration of each topic that exists; None where it could not be read.
    """
    topic, dead = found.get(config.TOPIC), found.get(config.DEAD_LETTER_TOPIC)
    name = "configuration of the topics"
    if not topic or not dead:
        if found:
            yield unknown(
                name,
                "The account may not read it, or a topic is missing: grant DESCRIBE_CONFIGS to "
                "let it be checked.",
            )
        return
    faults = list(_config_faults(topic, dead))
    for fault in faults:
        yield problem(name, fault)
    if not faults:
        yield well(name, f"A dead letter fits, and is kept for {_days(dead)}.")


def _config_faults(topic: Mapping[str, str], dead: Mapping[str, str]) -> Iterator[str]:
    letters, size = config.DEAD_LETTER_TOPIC, "max.message.bytes"
    if int(dead.get(size, 0)) <= int(topic.get(size, 0)):
        want = max(2 * int(topic.get(size, 0)), 2**21)
        yield (
            f"{size} of {letters} ({dead.get(size)}) is not above that of {config.TOPIC} "
            f"({topic.get(size)}), so a large dead letter loses its content: set it to {want}."
        )
    if _milliseconds(dead) < _milliseconds(topic):
        yield (
            f"retention.ms of {letters} is below that of {config.TOPIC}: dead letters would be "
            "removed before their cause is fixed. Raise it."
        )
    for name, settings in ((config.TOPIC, topic), (letters, dead)):
        if "compact" in settings.get("cleanup.policy", ""):
            yield (
                f"cleanup.policy of {name} has compact, which removes messages: set it to delete."
            )


def _milliseconds(settings: Mapping[str, str]) -> float:
    kept = settings.get("retention.ms", UNLIMITED)
    return float("inf") if kept == UNLIMITED else float(kept)


def _days(settings: Mapping[str, str]) -> str:
    kept = _milliseconds(settings)
    return "ever" if kept == float("inf") else f"{kept / 86_400_000:.0f} days"


def group_answers(kafka: Kafka) -> Iterator[Answer]:
    """Yield whether somebody listens, and whether the account may use the consumer group."""
    name, group = "consumer group", kafka.group
    description = _result(kafka, "describe_consumer_groups", [group], group)
    if isinstance(description, str):
        if description == "GROUP_AUTHORIZATION_FAILED":
            yield problem(
                name,
                f"The account of {connections.KAFKA_CONNECTION} may not use the group {group}: "
                "grant READ and DESCRIBE on it.",
            )
        else:
            yield unknown(name, f"Kafka does not describe the group {group} ({description}).")
        return
    members, state = len(description.members), description.state.name
    if members:
        yield well(name, f"{group} has {members} {'member' if members == 1 else 'members'}.")
    else:
        yield problem(
            name,
            f"Nobody listens as {group} ({state.lower()}): unpause xray_listener, and look at the "
            "log of its task listen_1.",
        )
    yield rights_answer(f"rights on {group}", description, ("READ", "DESCRIBE"), group)
