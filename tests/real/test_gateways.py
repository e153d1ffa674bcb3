"""Real S3 gateways with their own notifications, and the table in docs/object-stores.md"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer

from include.servers.real.kafka import Kafka
from tests.support import ROOT
from tests.support.gateways import BUCKET, STORES, minio
from xray.conditions import creates_once, probe
from xray.errors import ConflictError, NotFoundError, ObjectError, TransientError
from xray.notification import ObjectCreated, parse
from xray.storage import ObjectStore

# The first build of MinIO takes many minutes.
pytestmark = pytest.mark.timeout(1800)
TOPIC = "storage"
PLAIN, KEEPING, LOCKED = "conditions-plain", "conditions-keeping", "conditions-locked"
"""The buckets in which conditions are tried: without versions, with them, with object lock."""
ONCE = "`If-None-Match: *` creates once"
LOCK = "the same, with object lock"
COMPARED = "`If-Match` writes over the very object"
DELETES = "`If-Match` deletes the very object"
ABSENT = "conditions take a deleted object as absent"
CELLS = {
    (True, True): "yes",
    (True, False): "only where no versions are kept",
    (False, False): "no",
}
"""The cell of a condition, by whether it holds without and with versions."""
WRITERS = 8
QUIET = 20.0
"""Seconds without a notification after which none is expected."""
KEYS = ["plain.jpeg", "dir a/fïle +1 & 日本 100%25.jpeg", "a+b%2Bc%20d.png"]


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
def test_what_is_no_new_content_starts_no_case(kafka: Kafka, tmp_path: Path, gateway: Any) -> None:
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    with gateway(kafka, tmp_path) as s3:
        s3.put_object(Bucket=BUCKET, Key="events/a.jpeg", Body=b"image")
        s3.put_object(Bucket=BUCKET, Key="events/folder/", Body=b"")
        s3.put_object_tagging(Bucket=BUCKET, Key="events/a.jpeg", Tagging=tags)
        s3.delete_object_tagging(Bucket=BUCKET, Key="events/a.jpeg")
        s3.put_object(Bucket=BUCKET, Key="events/end.jpeg", Body=b"image")
        found: list[str] = []
        skipped: set[str] = set()
        wanted = {"a folder marker"}
        if gateway is minio:
            wanted |= {"ObjectCreated:PutTagging", "ObjectCreated:DeleteTagging"}
        for message in messages(kafka, gateway.__name__):
            notification = parse(message)
            found += [one.key for one in notification.records if one.key.startswith("events/")]
            for one in notification.skipped:
                skipped.add(one.reason)
                if "properties" in one.reason:
                    skipped.add(str(one.event))
            if len(found) >= 2 and wanted <= skipped:
                break
    assert sorted(found) == ["events/a.jpeg", "events/end.jpeg"]
    assert wanted <= skipped


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


def refused(call: Any, bucket: str, **arguments: Any) -> bool:
    """Return whether the store refuses a request because of its condition."""
    try:
        call(Bucket=bucket, **arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] in (404, 412)
    return False


def honoured(s3: Any, bucket: str) -> dict[str, bool]:
    """Return which conditions the store honours in a bucket, by the row of the table."""

    def put(body: bytes) -> str:
        etag: str = s3.put_object(Bucket=bucket, Key="k", Body=body)["ETag"].strip('"')
        return etag

    def write(body: bytes, **condition: str) -> bool:
        return not refused(s3.put_object, bucket, Key="k", Body=body, **condition)

    one = put(b"one")
    once = not write(b"two", IfNoneMatch="*")
    two = put(b"two")
    compared = not write(b"three", IfMatch=one) and write(b"three", IfMatch=two)
    three = put(b"three")
    deletes = refused(s3.delete_object, bucket, Key="k", IfMatch=one)
    deletes = deletes and not refused(s3.head_object, bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k")
    absent = not (compared and write(b"four", IfMatch=three))
    s3.delete_object(Bucket=bucket, Key="k")
    absent = absent and write(b"five", IfNoneMatch="*")
    store = ObjectStore(s3)
    return {
        ONCE: once and one_winner(store, bucket),
        COMPARED: compared and no_lost_change(store, bucket),
        DELETES: deletes,
        ABSENT: absent,
    }


def one_winner(store: ObjectStore, bucket: str) -> bool:
    """Return whether each object is created by one alone of eight writers."""
    together = Barrier(WRITERS)

    def create(writer: int) -> list[int]:
        created = []
        for number in range(20):
            together.wait()
            try:
                store.put(bucket, f"race {number}", b"%d" % writer, content_type="", once=True)
            except ConflictError:
                continue
            created.append(number)
        return created

    with ThreadPoolExecutor(WRITERS) as pool:
        created = [number for numbers in pool.map(create, range(WRITERS)) for number in numbers]
    return sorted(created) == list(range(20))


def no_lost_change(store: ObjectStore, bucket: str) -> bool:
    """Return whether eight writers that add to one number at once lose nothing."""
    store.put(bucket, "number", b"0", content_type="")

    def add(writer: int) -> None:
        done = 0
        while done < 10:
            now = store.get(bucket, "number")
            # The writer makes the etags of the same number differ.
            text = b"%d %d" % (int(now.data.split()[0]) + 1, writer)
            try:
                store.put(bucket, "number", text, content_type="", over=now.etag)
            except (ConflictError, TransientError):
                continue
            done += 1

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(add, range(WRITERS)))
    return int(store.get(bucket, "number").data.split()[0]) == 10 * WRITERS


def create_buckets(s3: Any) -> None:
    """Create the buckets in which conditions are tried."""
    for bucket in (PLAIN, KEEPING):
        s3.create_bucket(Bucket=bucket)
    status = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=KEEPING, VersioningConfiguration=status)
    s3.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
    retention = {"Mode": "GOVERNANCE", "Days": 1}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}}
    s3.put_object_lock_configuration(Bucket=LOCKED, ObjectLockConfiguration=lock)


def rows(plain: dict[str, bool], keeping: dict[str, bool], *, locked: bool) -> dict[str, str]:
    """Return the rows about conditions, from what holds without and with versions."""
    shown = {row: CELLS[plain[row], keeping[row]] for row in plain}
    return shown | {LOCK: CELLS[locked, locked]}


def exercise(s3: Any) -> dict[str, str]:
    """Do everything that the table describes; return the rows that the answers show."""
    create_buckets(s3)
    ObjectStore(s3).put(LOCKED, "k", b"one", content_type="", once=True)
    shown = rows(
        honoured(s3, PLAIN),
        honoured(s3, KEEPING),
        locked=refused(s3.put_object, LOCKED, Key="k", Body=b"two", IfNoneMatch="*"),
    )
    status = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=status)
    s3.put_object(Bucket=BUCKET, Key="a key+", Body=b"one")
    matched = refused(s3.get_object, BUCKET, Key="a key+", IfMatch='"x"')
    shown["`If-Match` reads the very object"] = "yes" if matched else "no"
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    whole = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    etag = s3.upload_part(**whole, PartNumber=1, Body=b"one")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(**whole, MultipartUpload=parts)
    s3.delete_object(Bucket=BUCKET, Key="a key+")
    return shown


def probed(s3: Any) -> dict[str, str]:
    """Return the rows about conditions that the package's own probe finds."""
    store = ObjectStore(s3)

    def found(bucket: str) -> dict[str, bool]:
        conditions = probe(store, bucket)
        return {
            ONCE: conditions.create_once,
            COMPARED: conditions.compare_and_set,
            DELETES: conditions.conditional_delete,
            ABSENT: conditions.deleted_is_absent,
        }

    store.put(LOCKED, "a record", b"{}", content_type="application/json")
    return rows(found(PLAIN), found(KEEPING), locked=creates_once(store, LOCKED) is True)


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
        tried = probed(s3)
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
    assert {row: shown[row] for row in tried} == tried


def documented_column(store: str) -> dict[str, str]:
    """Return the column of a store in the table of the documentation."""
    text = (ROOT / "docs" / "object-stores.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    head = next(row for row in rows if "Ceph RGW" in row)
    title = {"ceph": "Ceph RGW", "minio": "MinIO", "versitygw": "versitygw"}[store]
    place = head.index(title)
    return {row[0]: row[place] for row in rows if len(row) == len(head)}
