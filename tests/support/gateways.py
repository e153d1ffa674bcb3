"""Real S3 gateways, each with a landing bucket and its notifications."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from include.servers.real.kafka import Kafka
from include.servers.real.minio import Minio
from include.servers.real.radosgw import RadosGateway
from include.servers.real.versitygw import Versitygw

BUCKET = "xray-data-in"


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
