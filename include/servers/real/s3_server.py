"""The base class of S3 servers that are Go programs and send notifications to Kafka themselves."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from include.servers.base import ProcessServer
from include.servers.embedded import object_store
from include.servers.processes import free_port
from include.servers.real.go_program import build_program


@dataclass
class S3Server(ProcessServer):
    """An S3 server; a subclass says which program it is and how the program is started."""

    module: ClassVar[str]
    version: ClassVar[str]
    package: ClassVar[str] = "."
    """The folder of the program in its Go module."""

    home: Path
    brokers: str
    topic: str
    env: Mapping[str, str] | None = None
    access_key: str = "xray"
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    port: int = field(default_factory=free_port)

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        """The host and the port of the server."""
        return f"127.0.0.1:{self.port}"

    @property
    def s3(self) -> Any:
        """A boto3 client of the server."""
        return object_store.client("s3", self.endpoint, self.access_key, self.secret_key)

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self.home / f"{self.name}.log"

    @abstractmethod
    def arguments(self) -> list[str]:
        """Return the arguments of the program."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Return the environment variables of the program."""

    def command(self) -> list[str]:
        """Return the program, built on first use, and its arguments."""
        return [str(build_program(self.module, self.version, self.package)), *self.arguments()]

    def environment(self) -> Mapping[str, str]:
        """Return the environment with the settings of the program."""
        return {**super().environment(), **self.settings()}

    def prepare(self) -> None:
        """Create the folder of the server."""
        self.home.mkdir(parents=True)

    def answers(self) -> bool:
        """Return whether the server lists its buckets."""
        try:
            self.s3.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True
