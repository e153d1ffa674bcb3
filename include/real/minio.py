"""MinIO: an S3 server on a folder, which pushes its notifications to Kafka by itself."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from include.demo import object_store
from include.demo.processes import Child, free_port, wait_until
from include.real import golang

PACKAGE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
TARGET = "XRAY"
"""What the server calls its way to Kafka."""
SECONDS = 60.0


@dataclass
class Minio:
    """A server; a context manager."""

    home: Path
    brokers: str
    topic: str
    env: Mapping[str, str] | None = None
    access_key: str = "xray"
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    port: int = field(default_factory=free_port)
    _child: Child | None = None

    @property
    def s3(self) -> Any:
        """A boto3 client of it."""
        endpoint = f"http://127.0.0.1:{self.port}"
        return object_store.client("s3", endpoint, self.access_key, self.secret_key)

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True)
        settings = {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            f"MINIO_NOTIFY_KAFKA_ENABLE_{TARGET}": "on",
            f"MINIO_NOTIFY_KAFKA_BROKERS_{TARGET}": self.brokers,
            f"MINIO_NOTIFY_KAFKA_TOPIC_{TARGET}": self.topic,
            # It asks for its newer releases otherwise.
            "MINIO_UPDATE": "off",
            "MINIO_BROWSER": "off",
        }
        command = [str(golang.program(PACKAGE, VERSION)), "server", "--quiet"]
        self._child = Child(
            "minio",
            [*command, "--address", f"127.0.0.1:{self.port}", str(self.home / "buckets")],
            env={**(self.env or os.environ), **settings},
            log=self.home / "minio.log",
        )
        wait_until(self._answers, "MinIO", seconds=SECONDS, children=[self._child])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child and self._child.process.poll() is None:
            self._child.kill()

    def announce(self, bucket: str) -> None:
        """Let every upload to ``bucket``, and every removal, be announced."""
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        queue = {"QueueArn": f"arn:minio:sqs::{TARGET}:kafka", "Events": events}
        self.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )

    def _answers(self) -> bool:
        try:
            self.s3.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True
