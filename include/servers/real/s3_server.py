"""What S3 servers have in common that are built by Go and push to Kafka by themselves."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from botocore.exceptions import BotoCoreError, ClientError

from include.servers.embedded import object_store
from include.servers.processes import Child, free_port, wait_until
from include.servers.real import go_program

SECONDS = 60.0


@dataclass
class S3Server:
    """A server; a context manager. Each kind says how it is started."""

    module: ClassVar[str]
    version: ClassVar[str]
    package: ClassVar[str] = "."
    """The folder of the program in its module."""

    home: Path
    brokers: str
    topic: str
    env: Mapping[str, str] | None = None
    access_key: str = "xray"
    secret_key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    port: int = field(default_factory=free_port)
    _child: Child | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def s3(self) -> Any:
        """A boto3 client of it."""
        return object_store.client("s3", self.endpoint, self.access_key, self.secret_key)

    def arguments(self) -> list[str]:
        """Of its program."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """Of its environment."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        program = go_program.built(self.module, self.version, self.package)
        name = type(self).__name__.lower()
        self.home.mkdir(parents=True)
        self._child = Child(
            name,
            [str(program), *self.arguments()],
            env={**(self.env or os.environ), **self.settings()},
            log=self.home / f"{name}.log",
        )
        wait_until(self._answers, name, seconds=SECONDS, children=[self._child])
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
