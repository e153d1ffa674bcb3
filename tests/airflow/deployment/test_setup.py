"""python -m xray setup: creates what is missing, once; names what it cannot create"""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException

from include.servers.embedded.object_store import client
from tests.airflow.deployment.conftest import BUCKETS, PASSWORD, announce, refuse, refuses
from xray.airflow.deployment import clients, create, setup, stores, wanted
from xray.airflow.deployment.table import Answer, Mark

ALL = (BUCKETS.landing, *BUCKETS.outputs())


class Admin:
    """Kafka's administration, with the topics in a dict."""

    def __init__(self, refusal: int | None = None) -> None:
        self.topics: dict[str, Any] = {}
        self.refusal = refusal

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(topics=self.topics)

    def create_topics(self, new: list[Any], request_timeout: float) -> dict[str, Any]:
        return {
            topic.topic: SimpleNamespace(result=lambda _, t=topic: self.made(t)) for topic in new
        }

    def made(self, topic: Any) -> None:
        if self.refusal is not None:
            raise KafkaException(KafkaError(self.refusal))
        self.topics[topic.topic] = topic


@pytest.fixture
def admin(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> Admin:
    """A deployment in which nothing exists yet."""
    for bucket in ALL:
        deployed.delete_bucket(Bucket=bucket)
    admin = Admin()
    monkeypatch.setattr(clients.Kafka, "admin", admin)
    # moto takes each request with Ceph's signature for one of S3.
    sns = client("sns", deployed.meta.endpoint_url)
    monkeypatch.setattr(clients, "topics_of_the_store", lambda: sns)
    return admin


def run(**options: Any) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit status of a setup, and its answers by their names."""
    stream = io.StringIO()
    status = setup.run(stream, as_json=True, **options)
    return status, {row["check"]: row for row in json.loads(stream.getvalue())["checks"]}


def buckets_of(s3: Any) -> set[str]:
    return {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}


def test_what_is_missing_is_created_once(deployed: Any, admin: Admin) -> None:
    names = {f"bucket {name}" for name in ALL} | {f"topic {name}" for name in wanted.TOPICS}
    status, first = run()
    assert status == 0, first
    assert set(first) == {*names, "announcements"}
    assert all(row["sentence"].startswith(create.CREATED) for row in first.values())
    assert buckets_of(deployed) == set(ALL)
    for name, want in wanted.TOPICS.items():
        assert (admin.topics[name].num_partitions, admin.topics[name].config) == (
            want.partitions,
            dict(want.config),
        )
    status, second = run()
    assert status == 0
    assert all(row["sentence"].startswith(create.EXISTS) for row in second.values()), second
    assert stores.announcement_answer(deployed, BUCKETS.landing).mark is Mark.WELL


def test_a_dry_run_creates_nothing(deployed: Any, admin: Admin) -> None:
    deployed.create_bucket(Bucket=BUCKETS.landing)
    status, found = run(dry_run=True)
    assert status == 0
    assert found.pop(f"bucket {BUCKETS.landing}")["sentence"] == create.EXISTS
    assert {row["sentence"] for row in found.values()} == {create.WOULD_CREATE}
    assert buckets_of(deployed) == {BUCKETS.landing}
    assert admin.topics == {}
    assert stores.configured_events(deployed, BUCKETS.landing) == []


def test_other_announcements_stay(deployed: Any, admin: Admin) -> None:
    deployed.create_bucket(Bucket=BUCKETS.landing)
    other = {
        "Id": "of others",
        "TopicArn": "arn:aws:sns:us-east-1:123456789012:others",
        "Events": ["s3:ObjectRemoved:*"],
    }
    deployed.put_bucket_notification_configuration(
        Bucket=BUCKETS.landing, NotificationConfiguration={"TopicConfigurations": [other]}
    )
    for _ in range(2):
        assert run()[0] == 0
        found = stores.configured_events(deployed, BUCKETS.landing)
        assert found is not None
        assert len(found) == 2
        assert (other["TopicArn"], other["Events"]) in found


def test_a_target_that_the_store_has_is_used(deployed: Any, admin: Admin) -> None:
    arn = "arn:aws:sqs:us-east-1:123456789012:storage"
    assert run(target=arn)[0] == 0
    assert stores.configured_events(deployed, BUCKETS.landing) == [(arn, ["s3:ObjectCreated:*"])]


def test_announcements_in_another_way_stay(deployed: Any, admin: Admin) -> None:
    deployed.create_bucket(Bucket=BUCKETS.landing)
    announce(deployed, arn="arn:aws:sns:us-east-1:123456789012:others")
    assert run()[1]["announcements"]["sentence"] == create.EXISTS


def test_removals_are_announced_if_they_are_followed(
    deployed: Any, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run()[0] == 0
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"follow_deletions": true}')
    assert run()[0] == 0
    ((_, events),) = stores.configured_events(deployed, BUCKETS.landing) or ()
    assert events == ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]


def test_a_bucket_that_is_refused(
    deployed: Any, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses(monkeypatch, ("CreateBucket", BUCKETS.audit))
    status, found = run()
    assert status == 1
    assert "create it by hand" in found[f"bucket {BUCKETS.audit}"]["sentence"]
    assert buckets_of(deployed) == set(ALL) - {BUCKETS.audit}


def test_a_name_that_is_taken(deployed: Any) -> None:
    hook = clients.s3_hook()
    refuse(hook.get_conn(), "HeadBucket", BUCKETS.audit)
    refuse(hook.get_conn(), "CreateBucket", BUCKETS.audit, "BucketAlreadyExists")
    found = {answer.name: answer for answer in create.buckets(hook, dry_run=False)}
    assert "AIRFLOW__XRAY__BUCKET" in found[f"bucket {BUCKETS.audit}"].sentence


def test_a_topic_that_is_refused(deployed: Any, admin: Admin) -> None:
    admin.refusal = KafkaError.TOPIC_AUTHORIZATION_FAILED
    status, found = run()
    assert status == 1
    assert "create it by hand, with 3 partitions" in found["topic storage"]["sentence"]


def test_a_topic_that_another_setup_creates_meanwhile(deployed: Any, admin: Admin) -> None:
    admin.refusal = KafkaError.TOPIC_ALREADY_EXISTS
    assert run()[1]["topic storage"]["sentence"] == create.EXISTS


def announced(s3: Any, topics: Any) -> Answer:
    return create.announcements(
        s3, lambda: topics, push_endpoint="kafka://k:9092", target=None, dry_run=False
    )


def test_a_store_that_has_no_topics(deployed: Any) -> None:
    deployed.put_bucket_notification_configuration(
        Bucket=BUCKETS.landing, NotificationConfiguration={}
    )

    def refuse_topic(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "MethodNotAllowed"}}, "CreateTopic")

    for client_ in (SimpleNamespace(create_topic=refuse_topic), clients.topics_of_the_store()):
        answer = announced(deployed, client_)
        assert answer.mark is Mark.PROBLEM
    for way in ("--target", "--event-kafka-url", "docs/object-stores.md"):
        assert way in answer.sentence


def test_nothing_is_created_at_aws() -> None:
    aws = SimpleNamespace(
        meta=SimpleNamespace(endpoint_url="https://s3.eu-central-1.amazonaws.com"),
        get_bucket_notification_configuration=lambda Bucket: {},
    )
    answer = announced(aws, None)
    assert answer.mark is Mark.PROBLEM
    assert "docs/object-stores.md" in answer.sentence


def test_a_store_that_has_no_api_for_announcements(deployed: Any) -> None:
    refuse(deployed, "GetBucketNotificationConfiguration", BUCKETS.landing, "NotImplemented")
    answer = announced(deployed, None)
    assert answer.mark is Mark.UNKNOWN
    assert "--event-kafka-url" in answer.sentence


def test_the_password_of_the_push_endpoint_is_not_printed(deployed: Any, admin: Admin) -> None:
    stream = io.StringIO()
    setup.run(stream, push_endpoint=f"kafka://user:{PASSWORD}@broker:9093")
    assert PASSWORD not in stream.getvalue()


def test_a_connection_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    status, found = run()
    assert status == 1
    assert set(found) == {"connection xray_s3", "connection xray_kafka"}
