"""Redis, the broker of Celery: one server on a free port, which keeps its queue on disk.

The server is the installed ``redis-server``. Without one, Debian's packages are unpacked into the
cache, which needs no root.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import redis

from include.servers.base import ProcessServer
from include.servers.processes import free_port
from include.servers.real import CACHE
from include.servers.real.debian_packages import unpack_packages

PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
"""The server, and those of its libraries that a Debian system may lack."""


@dataclass
class Redis(ProcessServer):
    """A Redis server that requires a password."""

    name: ClassVar[str] = "redis"
    timeout: ClassVar[float] = 30.0

    home: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def url(self) -> str:
        """The address of the server, as Celery takes it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """A client of the server."""
        return redis.Redis(port=self.port, password=self.password)

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self.home / "redis.log"

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        return [str(find_program()[0]), str(self._config)]

    def environment(self) -> Mapping[str, str]:
        """Return the environment with the path of the libraries."""
        return {**super().environment(), **find_program()[1]}

    def prepare(self) -> None:
        """Write the configuration."""
        self.home.mkdir(parents=True)
        config = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": self.home,
            # Without a file, the queue would be lost with the server.
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
        self._config.touch(mode=0o600)
        self._config.write_text("".join(f"{name} {value}\n" for name, value in config.items()))

    def answers(self) -> bool:
        """Return whether the server answers a ping."""
        try:
            return bool(self.client.ping())
        except redis.exceptions.ConnectionError:  # Also while it loads its queue from disk.
            return False

    @property
    def _config(self) -> Path:
        return self.home / "redis.conf"


def find_program() -> tuple[Path, dict[str, str]]:
    """Return the path of the server's program, and the environment variables that it needs.

    Raises:
        StartError: Redis is not installed, and Debian's packages cannot be downloaded.
    """
    if installed := shutil.which("redis-server"):
        return Path(installed), {}
    folder = CACHE / "redis"
    if not (folder / "usr/bin/redis-server").exists():
        unpack_packages(PACKAGES, folder, "Redis is missing: install it, so that redis-server runs")
    libraries = {str(path.parent) for path in (folder / "usr/lib").rglob("*.so*")}
    return folder / "usr/bin/redis-server", {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
