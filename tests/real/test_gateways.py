"""Real gateways' own notifications, through Apache Kafka, read by xray.notification"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from conftest import ROOT
from include.real.kafka import Kafka
from include.real.radosgw import RadosGateway
from include.real.versitygw import Versitygw
from xray.errors import NotThereError, ObjectError
from xray.notification import Record, parse
from xray.storage import AlreadyThere, ObjectStore

TOPIC, BUCKET = "storage", "xray-data-in"
KEYS = ["plain.jpeg", "dir a/fïle +1 & 日本 100%25.jpeg", "a+b%2Bc%20d.png"]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        for name in ("versitygw", "ceph"):
            kafka.create_topic(name)
        yield kafka


@contextmanager
def versitygw(kafka: Kafka, folder: Path) -> Iterator[Any]:
    with Versitygw(folder / "versitygw", brokers=kafka.brokers, topic="versitygw") as gateway:
        gateway.s3.create_bucket(Bucket=BUCKET)
        yield gateway.s3


@contextmanager
def ceph(kafka: Kafka, folder: Path) -> Iterator[Any]:
    script = Path(os.environ.get("XRAY_CEPH", ROOT.parent / "shared" / "tools" / "ceph.sh"))
    if not script.exists():
        pytest.skip(
            "There is no Ceph here: set XRAY_CEPH to a script that runs one (its commands are "
            "told in include/real/radosgw.py)."
        )
    with RadosGateway(script, brokers=kafka.brokers, topic="ceph") as gateway:
        gateway.s3.create_bucket(Bucket=BUCKET)
        gateway.announce(BUCKET)
        yield gateway.s3


def records(kafka: Kafka, topic: str, count: int) -> list[Record]:
    """The records of the first messages that hold so many."""
    consumer = Consumer({**kafka.client, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[Record] = []
    try:
        while len(found) < count:
            message = consumer.poll(30)
            assert message is not None, f"{len(found)} of {count} records"
            if not message.error():
                found += parse(message.value()).records
    finally:
        consumer.close()
    return found


@pytest.mark.parametrize("gateway", [versitygw, ceph])
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


@pytest.mark.parametrize("gateway", [versitygw, ceph])
def test_a_case_can_rely_on_the_store(kafka: Kafka, tmp_path: Path, gateway: Any) -> None:
    """An object that is created once, and one that is read only if it is still the same."""
    with gateway(kafka, tmp_path) as s3:
        store = ObjectStore(s3)
        store.write(BUCKET, "a", b"one", content_type="text/plain", once=True)
        with pytest.raises(AlreadyThere):
            store.write(BUCKET, "a", b"two", content_type="text/plain", once=True)
        content = store.read(BUCKET, "a")
        assert content.data == b"one"
        assert store.read(BUCKET, "a", etag=content.etag) == content
        store.write(BUCKET, "a", b"three", content_type="text/plain", metadata={"source-etag": "x"})
        with pytest.raises(ObjectError, match="was replaced"):
            store.read(BUCKET, "a", etag=content.etag)
        head = store.head(BUCKET, "a")
        assert head is not None
        assert head.metadata["source-etag"] == "x"
        assert store.head(BUCKET, "b") is None
        with pytest.raises(NotThereError):
            store.read(BUCKET, "b")
