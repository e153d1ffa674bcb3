"""versitygw: an S3 gateway on a folder, which pushes its notifications to Kafka by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from include.servers.real.s3_server import S3Server


@dataclass
class Versitygw(S3Server):
    """A gateway that announces what happens in all of its buckets; a context manager."""

    module: ClassVar[str] = "github.com/versity/versitygw"
    version: ClassVar[str] = "v1.8.0"
    package: ClassVar[str] = "./cmd/versitygw"

    versions: bool = False
    """Whether its buckets can keep versions."""

    def arguments(self) -> list[str]:
        """Of its program."""
        folders = {"buckets": self.home / "buckets", "versions": self.home / "versions"}
        for folder in folders.values():
            folder.mkdir()
        options = ["--port", self.address, "--quiet"]
        options += ["--event-kafka-url", self.brokers, "--event-kafka-topic", self.topic, "posix"]
        if self.versions:
            options += ["--versioning-dir", str(folders["versions"])]
        return [*options, str(folders["buckets"])]

    def settings(self) -> dict[str, str]:
        """Of its environment."""
        return {"ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret_key}
