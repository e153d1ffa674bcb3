"""python -m xray check on Apache Kafka with access control, and on the real S3 gateways"""

from __future__ import annotations

import io
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from confluent_kafka import Consumer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from include.servers.real.kafka import USER, Kafka
from include.servers.real.radosgw import RadosGateway
from tests.support.gateways import BUCKET, STORES
from xray.airflow.deployment import clients, create, setup, stores, topics
from xray.airflow.deployment.table import Answer, Mark
from xray.case import Buckets
from xray.notification import parse

# The first build of MinIO takes many minutes.
pytestmark = pytest.mark.timeout(1800)
BUCKETS = Buckets(BUCKET)
GROUP = "xray"
ACCESS = {
    "auto.create.topics.enable": "false",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # The inner listener has no login. What has no rule is open to everybody.
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Apache Kafka with TLS, logins and access control."""
    with Kafka(tmp_path_factory.mktemp("guarded"), secure=True, settings=ACCESS) as kafka:
        yield kafka


@pytest.fixture
def connect(guarded: Kafka, monkeypatch: pytest.MonkeyPatch) -> Callable[..., clients.Kafka]:
    """Return a function that makes the client of a check, with changes to the connection."""

    def make(**changes: Any) -> clients.Kafka:
        extra = {
            **guarded.client,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **{name.replace("_", "."): value for name, value in changes.items()},
        }
        connection = {"conn_type": "kafka", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(connection))
        return clients.Kafka()

    return make


def look(kafka: clients.Kafka) -> dict[str, Answer]:
    return {answer.name: answer for answer in topics.answers(kafka)}


def allow(kafka: Kafka, kind: Any, name: str, *operations: Any) -> None:
    """Give the account these rights alone."""
    inside = re.search(r"INSIDE://(localhost:\d+)", (kafka.home / "kafka.properties").read_text())
    assert inside is not None
    admin = AdminClient({"bootstrap.servers": inside[1]})
    rules = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]
    for future in admin.create_acls(rules).values():
        future.result(30)


def test_a_login_and_a_protocol_that_are_wrong(
    guarded: Kafka, connect: Callable[..., clients.Kafka]
) -> None:
    (refused,) = look(connect(sasl_password="wrong")).values()
    assert refused.mark is Mark.PROBLEM
    assert "refuses the login" in refused.sentence
    (away,) = look(connect(security_protocol="SASL_PLAINTEXT")).values()
    assert away.mark is Mark.PROBLEM
    assert "security.protocol" in away.sentence


def test_topics_from_missing_to_well_and_the_rights_on_them(
    guarded: Kafka, connect: Callable[..., clients.Kafka]
) -> None:
    kafka = connect()
    missing = look(kafka)
    assert missing["topic storage"].mark is Mark.PROBLEM
    assert "run python -m xray setup" in missing["topic storage"].sentence

    list(create.topics(kafka, dry_run=False))
    made = look(kafka)
    assert made["consumer group"].mark is Mark.PROBLEM
    assert "unpause xray_listener" in made["consumer group"].sentence
    ends = {topic: guarded.end_offsets(topic) for topic in ("storage", "storage.dlq")}

    with Member(guarded):
        found = look(kafka)
    assert {answer.mark for answer in found.values()} == {Mark.WELL}, found
    assert ends == {topic: guarded.end_offsets(topic) for topic in ends}, "no message was sent"

    allow(guarded, ResourceType.TOPIC, "storage", AclOperation.DESCRIBE)
    allow(guarded, ResourceType.TOPIC, "storage.dlq", AclOperation.READ)
    allow(guarded, ResourceType.GROUP, GROUP, AclOperation.DESCRIBE)
    less = look(kafka)
    assert "READ is not allowed" in less["rights on storage"].sentence
    assert "WRITE is not allowed" in less["rights on storage.dlq"].sentence
    assert "READ is not allowed" in less["rights on xray"].sentence
    assert less["configuration of the topics"].mark is Mark.UNKNOWN

    allow(guarded, ResourceType.TOPIC, "storage.dlq", AclOperation.WRITE)
    assert look(kafka)["rights on storage.dlq"].mark is Mark.WELL


class Member:
    """A member of the consumer group, while the context lasts."""

    def __init__(self, kafka: Kafka) -> None:
        config = {**kafka.client, "group.id": GROUP, "enable.auto.commit": False}
        self._consumer = Consumer(config)
        self._assigned, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def _poll(self) -> None:
        self._consumer.subscribe(["storage"], on_assign=lambda *_: self._assigned.set())
        while not self._ended.is_set():
            self._consumer.poll(0.2)
        self._consumer.close()

    def __enter__(self) -> None:
        self._thread.start()
        assert self._assigned.wait(60)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)


LACKS = {"versitygw": Mark.WELL, "minio": Mark.LIMIT, "ceph": Mark.LIMIT}
"""What a check says of conditional writes: MinIO and Ceph know no conditional delete."""
ANNOUNCES = {"versitygw": Mark.UNKNOWN, "minio": Mark.UNKNOWN, "ceph": Mark.UNKNOWN}
"""What it says of announcements; the topic of the fixture is not ``storage``."""


def assert_announced(s3: Any, store: str) -> None:
    """Let a setup create the announcements of each store in the store's own way."""
    sns = boto3.client(
        "sns",
        endpoint_url=s3.meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(signature_version="s3", retries={"max_attempts": 0}),
    )

    def announce(target: str | None = None) -> Answer:
        return create.announcements(
            s3, lambda: sns, push_endpoint="kafka://k:9092", target=target, dry_run=False
        )

    first = announce()
    if store == "versitygw":
        assert first.mark is Mark.UNKNOWN
        assert "--event-kafka-url" in first.sentence
        return
    assert first.sentence == create.EXISTS
    if store == "minio":
        arn = stores.configured_events(s3, BUCKET)[0][0]  # type: ignore[index]
        s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})
        refused = announce()
        assert refused.mark is Mark.PROBLEM, refused
        assert "--target" in refused.sentence
        assert announce(arn).mark is Mark.WELL
        assert stores.configured_events(s3, BUCKET) == [(arn, ["s3:ObjectCreated:*"])]


@pytest.mark.parametrize("gateway", STORES)
def test_a_gateway_from_missing_to_well(kafka: Kafka, tmp_path: Path, gateway: Any) -> None:
    name = gateway.__name__
    with gateway(kafka, tmp_path) as s3:
        hook = SimpleNamespace(
            get_conn=lambda: s3,
            create_bucket=lambda bucket_name: s3.create_bucket(Bucket=bucket_name),
        )
        before = {answer.name: answer for answer in stores.answers(s3)}
        assert before[f"bucket {BUCKETS.audit}"].mark is Mark.PROBLEM
        said = [
            [answer.sentence for answer in create.buckets(hook, dry_run=dry_run)]
            for dry_run in (True, False, False)
        ]
        outputs = len(BUCKETS.outputs())
        assert said[0] == [create.EXISTS] + [create.WOULD_CREATE] * outputs
        assert said[1] == [create.EXISTS] + [create.CREATED] * outputs
        assert said[2] == [create.EXISTS] * (outputs + 1)
        found = {answer.name: answer for answer in stores.answers(s3)}
        for bucket in (BUCKET, *BUCKETS.outputs()):
            assert found[f"bucket {bucket}"].mark is Mark.WELL, found[f"bucket {bucket}"]
            assert "Contents" not in s3.list_objects_v2(Bucket=bucket), "nothing is left"
        assert found["versions of manifests"].mark is Mark.WELL
        assert found["conditional writes"].mark is LACKS[name]
        assert found["announcements"].mark is ANNOUNCES[name], found["announcements"]

        assert_announced(s3, name)

        s3.put_bucket_versioning(
            Bucket=BUCKETS.processed, VersioningConfiguration={"Status": "Enabled"}
        )
        assert stores.rights_answer(s3, BUCKETS.processed, may_keep=False).mark is Mark.WELL
        listed = s3.list_object_versions(Bucket=BUCKETS.processed)
        assert not listed.get("Versions")
        assert not listed.get("DeleteMarkers")


def test_a_setup_of_ceph(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets, topics and announcements are created, and an upload arrives on the topic."""
    script = os.environ.get("XRAY_CEPH")
    if not script:
        pytest.skip("There is no Ceph here: set XRAY_CEPH to a script that runs one.")
    extra = {**kafka.client, "group.id": GROUP, "enable.auto.commit": False}
    extra["auto.offset.reset"] = "earliest"
    kafka_connection = {"conn_type": "kafka", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(kafka_connection))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    with RadosGateway(Path(script), brokers=kafka.brokers, topic="storage") as gateway:
        endpoint, access, secret = gateway._login()
        where = {"endpoint_url": endpoint, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": access, "password": secret, "extra": where}
        monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
        assert gateway._bridge is not None
        push = f"http://127.0.0.1:{gateway._bridge.server_port}"
        for _ in range(2):
            stream = io.StringIO()
            assert setup.run(stream, push_endpoint=push) == 0, stream.getvalue()
        s3 = clients.s3_hook().get_conn()
        found = {answer.name: answer for answer in stores.answers(s3)}
        assert found.pop("conditional writes").mark is Mark.LIMIT
        assert {answer.mark for answer in found.values()} == {Mark.WELL}, found
        s3.put_object(Bucket=BUCKET, Key="a", Body=b"one")
        consumer = Consumer({**extra, "group.id": "test"})
        consumer.subscribe(["storage"])
        message = consumer.poll(60)
        consumer.close()
    assert message is not None
    assert [record.key for record in parse(message.value()).records] == ["a"]
