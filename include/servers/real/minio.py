"""MinIO: an S3 server on a folder, which pushes its notifications to Kafka by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from include.servers.real.s3_server import S3Server

TARGET = "XRAY"
"""What the server calls its way to Kafka."""


@dataclass
class Minio(S3Server):
    """A server that announces what happens in the buckets that ask for it; a context manager."""

    module: ClassVar[str] = "github.com/minio/minio"
    version: ClassVar[str] = "v0.0.0-20260212201848-7aac2a2c5b7c"

    def arguments(self) -> list[str]:
        """Of its program."""
        return ["server", "--quiet", "--address", self.address, str(self.home / "buckets")]

    def settings(self) -> dict[str, str]:
        """Of its environment."""
        return {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            f"MINIO_NOTIFY_KAFKA_ENABLE_{TARGET}": "on",
            f"MINIO_NOTIFY_KAFKA_BROKERS_{TARGET}": self.brokers,
            f"MINIO_NOTIFY_KAFKA_TOPIC_{TARGET}": self.topic,
            # It asks for its newer releases otherwise.
            "MINIO_UPDATE": "off",
            "MINIO_BROWSER": "off",
        }

    def announce(self, bucket: str) -> None:
        """Let every upload to ``bucket``, and every removal, be announced."""
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        queue = {"QueueArn": f"arn:minio:sqs::{TARGET}:kafka", "Events": events}
        self.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )
