"""Creates what a deployment needs outside of Airflow, and keeps what exists.

The compose stack's setup (include/stack) and the command ``python -m xray setup`` share this code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xray.airflow import config
from xray.airflow.deployment import stores, wanted
from xray.airflow.deployment.clients import SECONDS, Kafka
from xray.airflow.deployment.table import Answer, problem, unknown, well

EXISTS, CREATED, WOULD_CREATE = "It exists.", "Created.", "It is missing; setup creates it."
_OWNED = {"BucketAlreadyOwnedByYou"}
_TAKEN = {"BucketAlreadyExists"}
_ABSENT = {"404", "NoSuchBucket", "NotFound"}


def buckets(hook: Any, *, dry_run: bool) -> Iterator[Answer]:
    """Create the buckets that are missing.

    Args:
        hook: an S3Hook.
        dry_run: only say what is missing.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    for bucket in wanted.buckets():
        name = f"bucket {bucket}"
        try:
            yield _bucket(hook, bucket, dry_run=dry_run)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _TAKEN:
                yield problem(
                    name,
                    "Another account has a bucket of this name: set AIRFLOW__XRAY__BUCKET to a "
                    "name of your own.",
                )
            else:
                yield problem(name, f"The store refuses to create it ({code}): create it by hand.")
        except BotoCoreError as error:
            yield problem(name, f"The store does not answer ({type(error).__name__}).")


def _bucket(hook: Any, bucket: str, *, dry_run: bool) -> Answer:
    """Create a bucket, unless it exists."""
    from botocore.exceptions import ClientError

    name = f"bucket {bucket}"
    try:
        hook.get_conn().head_bucket(Bucket=bucket)
        return well(name, EXISTS)
    except ClientError as error:
        # Where the account may not ask, it may create.
        if error.response["Error"]["Code"] in _ABSENT and dry_run:
            return unknown(name, WOULD_CREATE)
        if dry_run:
            return unknown(name, "The account may not look whether it exists.")
    try:
        hook.create_bucket(bucket_name=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in _OWNED:
            raise
        return well(name, EXISTS)
    return well(name, CREATED)


def topics(kafka: Kafka, *, dry_run: bool) -> Iterator[Answer]:
    """Create the topics that are missing. The configuration of one that exists stays.

    Args:
        kafka: Kafka's administration.
        dry_run: only say what is missing.
    """
    from confluent_kafka import KafkaException

    try:
        known = kafka.admin.list_topics(timeout=SECONDS).topics
    except KafkaException as error:
        yield problem("Kafka", kafka.failure(error))
        return
    for topic, want in wanted.TOPICS.items():
        name = f"topic {topic}"
        if topic in known:
            yield well(name, EXISTS)
        elif dry_run:
            yield unknown(name, WOULD_CREATE)
        else:
            yield _topic(kafka, topic, want)


def _topic(kafka: Kafka, topic: str, want: wanted.Topic) -> Answer:
    """Create a topic, unless it exists, with the broker's default number of copies."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    new = NewTopic(topic, want.partitions, -1, config=dict(want.config))
    (future,) = kafka.admin.create_topics([new], request_timeout=SECONDS).values()
    name = f"topic {topic}"
    try:
        future.result(SECONDS)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return well(name, EXISTS)
        settings = ", ".join(f"{key}={value}" for key, value in want.config.items())
        return problem(
            name,
            f"Kafka refuses to create it ({error.args[0].name()}): create it by hand, with "
            f"{want.partitions} partitions and {settings}.",
        )
    return well(name, CREATED)


def announcements(
    s3: Any,
    topics_of_the_store: Callable[[], Any],
    *,
    push_endpoint: str,
    target: str | None,
    dry_run: bool,
) -> Answer:
    """Let the landing bucket announce its uploads, and keep its other announcements.

    Ceph's gateway gets a topic of its own that pushes to Kafka, and keeps each notification until
    Kafka has it. The request is repeated if the topic exists, so that a new address is taken.

    Args:
        s3: a boto3 client.
        topics_of_the_store: returns the client of the store's own topics.
        push_endpoint: where Ceph's gateway sends the notifications, such as
            ``kafka://broker:9092``.
        target: the ARN of a target that the store has already, in place of a topic.
        dry_run: only say what is missing.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    name, bucket, events = "announcements", config.bucket(), wanted.events()
    try:
        found = stores.configured_events(s3, bucket)
        if found is None:
            return unknown(name, _by_hand("it has no API for them"))
        announced = all(stores.announces(found, event) for event in events)
        if announced and (dry_run or not _leads_to_own_topic(found)):
            return well(name, EXISTS)
        if target is None and ".amazonaws." in s3.meta.endpoint_url:
            return problem(name, _by_hand("AWS does not send them to Kafka"))
        if dry_run:
            return unknown(name, WOULD_CREATE)
        arn = target or _push_topic(topics_of_the_store(), push_endpoint)
        _configure(s3, bucket, arn, list(events))
    except ClientError as error:
        return problem(name, _by_hand(error.response["Error"]["Code"]))
    except (KeyError, ResponseParserError):
        return problem(name, _by_hand("it has no topics"))
    except BotoCoreError as error:
        return problem(name, _by_hand(type(error).__name__))
    return well(
        name,
        f"{EXISTS if announced else CREATED} {bucket} announces {' and '.join(events)} to the "
        f"topic {config.TOPIC}, by {arn}.",
    )


def _leads_to_own_topic(found: list[tuple[str, list[str]]]) -> bool:
    """Return whether the announcements lead to the topic that a setup creates at the store."""
    return any(":sns:" in arn and arn.endswith(f":{config.TOPIC}") for arn, _ in found)


def _push_topic(client: Any, push_endpoint: str) -> str:
    """Create Ceph's topic, or change the one that exists; return its ARN.

    Raises:
        KeyError, ResponseParserError: the store's answer is not one about a topic.
    """
    push = {"push-endpoint": push_endpoint, "persistent": "true"}
    if push_endpoint.startswith("kafka:"):
        push["kafka-ack-level"] = "broker"
    return str(client.create_topic(Name=config.TOPIC, Attributes=push)["TopicArn"])


def _configure(s3: Any, bucket: str, arn: str, events: list[str]) -> None:
    """Add an announcement to the configuration of a bucket, in place of an older one of ours."""
    before = s3.get_bucket_notification_configuration(Bucket=bucket)
    kind = "QueueConfigurations" if ":sqs:" in arn else "TopicConfigurations"
    kept = {name: value for name, value in before.items() if name != "ResponseMetadata"}
    others = [one for one in kept.get(kind, ()) if one.get("Id") != config.TOPIC]
    kept[kind] = [*others, {"Id": config.TOPIC, stores.KINDS[kind]: arn, "Events": events}]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)


def _by_hand(code: str) -> str:
    """Return how stores other than Ceph are told to announce uploads."""
    return (
        f"The store does not announce in Ceph's way ({code}). MinIO: configure a Kafka target in "
        "the server's settings, and give its ARN to setup with --target. versitygw: start it with "
        "--event-kafka-url and --event-kafka-topic. AWS: bring its notifications to Kafka "
        "(docs/object-stores.md)."
    )
