"""Real S3 gateways with their own notifications, and the table in docs/object-stores.md"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer

from include.servers.real.kafka import Kafka
from include.servers.real.minio import Minio
from include.servers.real.radosgw import RadosGateway
from include.servers.real.versitygw import Versitygw
from tests.support import ROOT
from xray.errors import ConflictError, NotFoundError, ObjectError
from xray.notification import ObjectCreated, parse
from xray.storage import ObjectStore

# The first build of MinIO takes many minutes.
pytestmark = pytest.mark.timeout(1800)
TOPIC, BUCKET = "storage", "xray-data-in"
ONCE = {(True, True): "yes", (True, False): "only where no versions are kept"}
QUIET = 20.0
"""Seconds without a notification after which none is expected."""
KEYS = ["plain.jpeg", "dir a/fïle +1 & 日本 100%25.jpeg", "a+b%2Bc%20d.png"]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        for name in ("versitygw", "ceph", "minio"):
            kafka.create_topic(name)
        yield kafka


@contextmanager
def versitygw(kafka: Kafka, folder: Path) -> Iterator[Any]:
    gateway = Versitygw(
        folder / "versitygw", brokers=kafka.brokers, topic="versitygw", versions=True
    )
    with gateway:
        gateway.s3.create_bucket(Bucket=BUCKET)
        yield gateway.s3


@contextmanager
def minio(kafka: Kafka, folder: Path) -> Iterator[Any]:
    with Minio(folder / "minio", brokers=kafka.brokers, topic="minio") as server:
        server.s3.create_bucket(Bucket=BUCKET)
        server.configure_notifications(BUCKET)
        yield server.s3


@contextmanager
def ceph(kafka: Kafka, folder: Path) -> Iterator[Any]:
    script = os.environ.get("XRAY_CEPH")
    if not script:
        pytest.skip(
            "There is no Ceph here: set XRAY_CEPH to a script that runs one; "
            "include/servers/real/radosgw.py describes its commands."
        )
    with RadosGateway(Path(script), brokers=kafka.brokers, topic="ceph") as gateway:
        gateway.s3.create_bucket(Bucket=BUCKET)
        gateway.configure_notifications(BUCKET)
        yield gateway.s3


STORES = [versitygw, ceph, minio]


def records(kafka: Kafka, topic: str, count: int) -> list[ObjectCreated]:
    """Return the records of as many messages as are needed for ``count`` records."""
    found: list[ObjectCreated] = []
    for message in messages(kafka, topic):
        found += parse(message).records
        if len(found) >= count:
            break
    assert len(found) == count
    return found


def messages(kafka: Kafka, topic: str, patience: float = 30) -> Iterator[bytes]:
    """Yield the unread messages, until none has arrived for ``patience`` seconds."""
    consumer = Consumer({**kafka.client, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        while message := consumer.poll(patience):
            if not message.error():
                yield message.value()
    finally:
        consumer.close()


@pytest.mark.parametrize("gateway", STORES)
def test_an_upload_is_announced_with_its_own_key(
    kafka: Kafka, tmp_path: Path, gateway: Any
) -> None:
    name = gateway.__name__
    with gateway(kafka, tmp_path) as s3:
        etags = {
            key: s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())["ETag"].strip('"')
            for key in KEYS
        }
        found = {record.key: record for record in records(kafka, name, len(KEYS))}
    assert set(found) == set(KEYS)
    for key, record in found.items():
        assert record.bucket == BUCKET
        assert record.dialect == name
        assert record.etag == etags[key]
        assert record.size == len(key.encode())
        assert record.event == "ObjectCreated:Put"
        assert record.sequencer or record.event_time


@pytest.mark.parametrize("gateway", STORES)
def test_a_case_can_rely_on_the_store(kafka: Kafka, tmp_path: Path, gateway: Any) -> None:
    """An object can be created only once, and read only if it is unchanged."""
    with gateway(kafka, tmp_path) as s3:
        store = ObjectStore(s3)
        store.put(BUCKET, "a", b"one", content_type="text/plain", once=True)
        with pytest.raises(ConflictError):
            store.put(BUCKET, "a", b"two", content_type="text/plain", once=True)
        content = store.get(BUCKET, "a")
        assert content.data == b"one"
        assert store.get(BUCKET, "a", etag=content.etag) == content
        store.put(BUCKET, "a", b"three", content_type="text/plain", metadata={"source-etag": "x"})
        with pytest.raises(ObjectError, match="was replaced"):
            store.get(BUCKET, "a", etag=content.etag)
        head = store.head(BUCKET, "a")
        assert head is not None
        assert head.metadata["source-etag"] == "x"
        assert store.head(BUCKET, "b") is None
        with pytest.raises(NotFoundError):
            store.get(BUCKET, "b")


def refused(call: Any, **arguments: Any) -> bool:
    """Return whether the store refuses a request because of its condition."""
    try:
        call(Bucket=BUCKET, **arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    return False


def exercise(s3: Any) -> dict[str, str]:
    """Do everything that the table describes; return the rows that the answers show."""
    once = {}
    for kept in ("without", "with"):
        if kept == "with":
            status = {"Status": "Enabled"}
            s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=status)
            s3.put_object(Bucket=BUCKET, Key="a key+", Body=b"one")
        key = f"once {kept}"
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"one")
        once[kept] = refused(s3.put_object, Key=key, Body=b"two", IfNoneMatch="*")
    matched = refused(s3.get_object, Key="a key+", IfMatch='"x"')
    shown = {
        "`If-None-Match: *` creates once": ONCE[once["without"], once["with"]],
        "`If-Match` reads the very object": "yes" if matched else "no",
    }
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    whole = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    etag = s3.upload_part(**whole, PartNumber=1, Body=b"one")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(**whole, MultipartUpload=parts)
    s3.delete_object(Bucket=BUCKET, Key="a key+")
    return shown


def read_all(kafka: Kafka, topic: str) -> tuple[list[bytes], list[ObjectCreated]]:
    """Return all messages, in any order, and their records."""
    raw = list(messages(kafka, topic, patience=QUIET))
    return raw, [record for message in raw for record in parse(message).records]


def raw_records(raw: list[bytes], key: str) -> list[Any]:
    """Return all raw records of objects whose keys begin with ``key``."""
    bodies = [json.loads(message) for message in raw]
    lists = [body if isinstance(body, list) else body.get("Records", []) for body in bodies]
    found = [one for records in lists for one in records]
    return [one for one in found if one["s3"]["object"]["key"].startswith(key)]


def event(raw: list[bytes], key: str, kind: str) -> str:
    """Return the names of an object's events that begin with ``kind``."""
    names = [one["eventName"].removeprefix("s3:") for one in raw_records(raw, key)]
    return ", ".join(name for name in names if name.startswith(kind))


@pytest.mark.parametrize("gateway", STORES)
def test_the_table_of_the_docs_is_right(kafka: Kafka, tmp_path: Path, gateway: Any) -> None:
    name = gateway.__name__
    kafka.delete_topic(name)
    kafka.create_topic(name)
    with gateway(kafka, tmp_path) as s3:
        shown = exercise(s3)
        raw, found = read_all(kafka, name)
    (first, *_) = [record for record in found if record.key == "a key+"]
    observed = shown | {
        "dialect": f"`{first.dialect}`",
        "key `a key+` in a notification": f"`{raw_records(raw, 'a')[0]['s3']['object']['key']}`",
        "`sequencer`": "yes" if first.sequencer else "no",
        "version id, where versions are kept": "yes" if first.version_id else "no",
        "upload in parts": f"`{event(raw, 'parts', 'ObjectCreated')}`",
        "removal, where versions are kept": f"`{event(raw, 'a', 'ObjectRemoved')}`",
    }
    assert documented_column(name) | observed == documented_column(name)


def documented_column(store: str) -> dict[str, str]:
    """Return the column of a store in the table of the documentation."""
    text = (ROOT / "docs" / "object-stores.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    head = next(row for row in rows if "Ceph RGW" in row)
    title = {"ceph": "Ceph RGW", "minio": "MinIO", "versitygw": "versitygw"}[store]
    place = head.index(title)
    return {row[0]: row[place] for row in rows if len(row) == len(head)}
