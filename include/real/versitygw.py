"""versitygw: an S3 gateway on a folder, which pushes its notifications to Kafka by itself."""

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

VERSION = "v1.8.0"
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
SECONDS = 60.0


@dataclass
class Versitygw:
    """A gateway that announces what happens in all of its buckets; a context manager."""

    home: Path
    brokers: str
    topic: str
    env: Mapping[str, str] | None = None
    access_key: str = "xray"
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    port: int = field(default_factory=free_port)
    versions: bool = False
    """Whether its buckets can keep versions."""
    _child: Child | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def s3(self) -> Any:
        """A boto3 client of it."""
        return object_store.client("s3", self.endpoint, self.access_key, self.secret_key)

    def __enter__(self) -> Self:
        files = self.home / "buckets"
        files.mkdir(parents=True)
        keys = {"ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret_key}
        gateway = golang.program(PACKAGE, VERSION)
        command = [str(gateway), "--port", f"127.0.0.1:{self.port}", "--quiet"]
        command += ["--event-kafka-url", self.brokers, "--event-kafka-topic", self.topic]
        command += ["posix"]
        if self.versions:
            (self.home / "versions").mkdir()
            command += ["--versioning-dir", str(self.home / "versions")]
        self._child = Child(
            "versitygw",
            [*command, str(files)],
            env={**(self.env or os.environ), **keys},
            log=self.home / "versitygw.log",
        )
        wait_until(self._answers, "versitygw", seconds=SECONDS, children=[self._child])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child and self._child.process.poll() is None:
            self._child.kill()

    def _answers(self) -> bool:
        try:
            self.s3.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True
