"""versitygw: an S3 gateway on a folder, which sends its notifications to Kafka itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from include.servers.real.s3_server import S3Server


@dataclass
class Versitygw(S3Server):
    """A gateway that sends notifications of the events in all of its buckets, if it has brokers."""

    name: ClassVar[str] = "versitygw"
    module: ClassVar[str] = "github.com/versity/versitygw"
    version: ClassVar[str] = "v1.8.0"
    package: ClassVar[str] = "./cmd/versitygw"

    versions: bool = False
    """Whether the gateway supports versioned buckets."""

    def prepare(self) -> None:
        """Create the folders of the buckets and of the versions."""
        super().prepare()
        for folder in (self._buckets, self._versions):
            folder.mkdir()

    def arguments(self) -> list[str]:
        """Return the arguments of the program."""
        options = ["--port", self.address, "--quiet"]
        if self.brokers:
            options += ["--event-kafka-url", self.brokers, "--event-kafka-topic", self.topic]
        options.append("posix")
        if self.versions:
            options += ["--versioning-dir", str(self._versions)]
        return [*options, str(self._buckets)]

    def settings(self) -> dict[str, str]:
        """Return the credentials, which the program takes from its environment."""
        return {"ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret_key}

    @property
    def _buckets(self) -> Path:
        return self.home / "buckets"

    @property
    def _versions(self) -> Path:
        return self.home / "versions"
