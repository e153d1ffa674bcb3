"""Redis, the broker of Celery: one server on a free port, which keeps its queue on disk.

The ``redis-server`` that is installed is run; where there is none, Debian's packages are unpacked
into the cache, which takes no root. Started again it is the same server with the same queue.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from include.servers.processes import Child, StartError, free_port, wait_until
from include.servers.real import CACHE

PACKAGES = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1")
"""The server, and those of its libraries that a Debian need not have."""
SECONDS = 30.0


@dataclass
class Redis:
    """A server; a context manager."""

    home: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _child: Child | None = None

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True)
        config = {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": self.home,
            # A queue that only memory holds is gone with the server.
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
        lines = "".join(f"{name} {value}\n" for name, value in config.items())
        self._config.touch(mode=0o600)
        self._config.write_text(lines)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """Celery's address of it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """A client of it."""
        return redis.Redis(port=self.port, password=self.password)

    @property
    def _config(self) -> Path:
        return self.home / "redis.conf"

    def start(self) -> None:
        """Start it; returns when it answers."""
        path, libraries = program()
        self._child = Child(
            "redis",
            [str(path), str(self._config)],
            env={**os.environ, **libraries},
            log=self.home / "redis.log",
        )
        wait_until(self._answers, "Redis", seconds=SECONDS, children=[self._child])

    def kill(self) -> None:
        """End it at once; it can be started again."""
        if self._child and self._child.process.poll() is None:
            self._child.kill()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.exceptions.ConnectionError:  # Also while it reads its queue from disk.
            return False


def program() -> tuple[Path, dict[str, str]]:
    """The server's program, and the environment that it needs.

    Raises:
        StartError: it is not installed, and Debian's packages cannot be had.
    """
    if installed := shutil.which("redis-server"):
        return Path(installed), {}
    folder = CACHE / "redis"
    if not (folder / "usr/bin/redis-server").exists():
        _unpack(folder)
    libraries = {str(path.parent) for path in (folder / "usr/lib").rglob("*.so*")}
    return folder / "usr/bin/redis-server", {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def _unpack(folder: Path) -> None:
    """Debian's packages, without installing them."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _run(["apt-get", "download", *PACKAGES], folder)
        for package in folder.glob("*.deb"):
            _run(["dpkg-deb", "--extract", str(package), str(folder)], folder)
            package.unlink()
    except FileNotFoundError:
        raise StartError("Redis is missing: install it, so that redis-server runs.") from None


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartError(
            f"Redis could not be had from Debian's packages ({done.stderr.strip()[-300:]}): "
            "install it, so that redis-server runs."
        )
