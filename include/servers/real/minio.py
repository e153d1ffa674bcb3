"""MinIO: an S3 server on a folder, which sends its notifications to Kafka itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from include.servers.real.s3_server import S3Server

TARGET = "XRAY"
"""The id of the Kafka target in the server's settings."""


@dataclass
class Minio(S3Server):
    """A server that sends notifications of the buckets that are configured for them."""

    name: ClassVar[str] = "minio"
    module: ClassVar[str] = "github.com/minio/minio"
    version: ClassVar[str] = "v0.0.0-20260212201848-7aac2a2c5b7c"

    def arguments(self) -> list[str]:
        """Return the arguments of the program."""
        return ["server", "--quiet", "--address", self.address, str(self.home / "buckets")]

    def settings(self) -> dict[str, str]:
        """Return the environment variables of the program."""
        return {
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            f"MINIO_NOTIFY_KAFKA_ENABLE_{TARGET}": "on",
            f"MINIO_NOTIFY_KAFKA_BROKERS_{TARGET}": self.brokers,
            f"MINIO_NOTIFY_KAFKA_TOPIC_{TARGET}": self.topic,
            # By default the server looks for newer releases on the Internet.
            "MINIO_UPDATE": "off",
            "MINIO_BROWSER": "off",
        }

    def configure_notifications(self, bucket: str) -> None:
        """Configure ``bucket`` to send a notification of every upload and every removal."""
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        queue = {"QueueArn": f"arn:minio:sqs::{TARGET}:kafka", "Events": events}
        self.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
        )
