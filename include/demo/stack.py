"""The embedded stack: a broker, an S3 server, a database, and all components of Airflow.

Everything runs on free ports of the loopback address. The files are in ``.airflow`` in the
checkout, which is emptied at each start.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from include.demo.api import Api
from include.demo.verification import BUCKET
from include.servers.base import ProcessServer, Server
from include.servers.embedded import object_store
from include.servers.embedded.broker import Broker
from include.servers.embedded.database import Database
from include.servers.processes import MARK, Child, StartError, free_port, stop_all, wait_until
from xray.airflow import config
from xray.case import Buckets
from xray.pseudonym import Keyring

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".airflow"

GROUP = "xray"
"""The consumer group of the listener."""
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
"""The path of Airflow's command."""
JOINED = "Partitions assigned"
"""What the log of the listener says once it receives messages."""
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
_HEALTH = {
    "api-server": "metadatabase",
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}
"""The part of the health report that tells of each component."""

AnyServer = TypeVar("AnyServer", bound=ProcessServer)


@dataclass
class Stack(Server):
    """The servers and Airflow, as one server."""

    home: Path = HOME
    notify: bool = True
    """Whether the embedded store sends notifications of uploads."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The settings of the pipeline (:class:`xray.settings.Settings`)."""
    parallelism: int = 4
    dags: Path = ROOT / "dags"
    kafka: dict[str, Any] = field(default_factory=dict)
    """Extra of the connection ``xray_kafka``, on top of what the embedded broker needs. If it has
    ``bootstrap.servers``, no embedded broker is started."""
    listening: bool = True
    """Whether a start waits for the listener; false if ``dags`` has no listener."""
    components: Sequence[str] = COMPONENTS
    """The components of Airflow that are started."""
    storage: bool = True
    """Whether there is an object store. Without one, runs start but no case can succeed."""
    store: tuple[str, str, str] | None = None
    """The address, access key and secret key of a store that sends notifications by itself. If it
    is None, an embedded store is started."""
    users: dict[str, str] = field(default_factory=dict)
    """More users of Airflow and their roles; each has the stack's password."""
    airflow_settings: dict[str, str] = field(default_factory=dict)
    """Environment variables of Airflow's processes; they override all others."""
    user: str = "admin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    servers: list[ProcessServer] = field(default_factory=list)
    airflow: list[Child] = field(default_factory=list)
    database: Database | None = None
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    brokers: str = ""
    s3_login: tuple[str, str, str] = ("", "", "")
    """The address, access key and secret key of the store."""
    url: str = ""
    s3: Any = None
    env: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything, and return when the stack is ready for images."""
        shutil.rmtree(self.home, ignore_errors=True)
        self._logs.mkdir(parents=True)
        self.env = {**_clean_environment(), "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}"}
        self.env[MARK] = self.mark
        self.brokers = self.kafka.get("bootstrap.servers") or self._start_broker()
        if self.storage:
            self._start_store()
        self.database = self._serve(Database(env=self.env, logs=self._logs))
        self._start_airflow(self.database.url)

    def close(self) -> None:
        """Stop everything; no process and no file of the database is left."""
        # Airflow first: its components need the servers until they have ended.
        servers = [server.child for server in reversed(self.servers) if server.child]
        stop_all(self.airflow, servers, mark=self.mark)
        for server in self.servers:
            server.close()
        self.airflow.clear()
        self.servers.clear()
        self.database = None

    def component(self, name: str) -> Child:
        """Return the process of one of Airflow's components, such as ``triggerer``."""
        return next(child for child in self.airflow if child.name == name)

    def start_component(self, name: str, *command: str) -> None:
        """Start one of Airflow's components; it replaces an ended one of the same name.

        Args:
            name: the name of the component.
            command: the arguments of ``airflow``; the name, if there are none.
        """
        self.airflow = [child for child in self.airflow if child.name != name]
        arguments = command or [name]
        self.airflow.append(Child(name, [AIRFLOW, *arguments], env=self.env, log=self._log(name)))

    @property
    def keyring(self) -> Keyring:
        """The secrets of the pipeline."""
        return Keyring.from_text(self.secret)

    def api(self) -> Api:
        """Return a client of Airflow's REST API with the rights of the stack's user."""
        return Api(self.url, self.user, self.password)

    @property
    def children(self) -> list[Child]:
        """All processes that the stack has started."""
        return [*(server.child for server in self.servers if server.child), *self.airflow]

    @property
    def _logs(self) -> Path:
        return self.home / "logs"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _serve(self, server: AnyServer) -> AnyServer:
        """Start a server, which ends with the stack."""
        self.servers.append(server)
        server.start()
        return server

    def _start_broker(self) -> str:
        return self._serve(Broker(env=self.env, log=self._log(Broker.name))).address

    def _start_store(self) -> None:
        if self.store is None:
            log = self._log(object_store.EmbeddedStore.name)
            embedded = object_store.EmbeddedStore(self.brokers, config.TOPIC, env=self.env, log=log)
            self.s3_login = (self._serve(embedded).address, "demo", "demo")
        else:
            self.s3_login = self.store
        self.s3 = object_store.client("s3", *self.s3_login)
        for name in (BUCKET, *Buckets(BUCKET).outputs()):
            self.s3.create_bucket(Bucket=name)
        if self.notify and self.store is None:
            object_store.configure_notifications(self.s3, BUCKET, config.TOPIC)

    def _start_airflow(self, database_url: str) -> None:
        self.env |= self._airflow_settings(database_url)
        log = self._log("migrate")
        with log.open("wb") as stream:
            done = subprocess.run(
                [AIRFLOW, "db", "migrate"],
                env=self.env,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise StartError(f"Airflow's tables cannot be created; the log is {log}.")
        for component in self.components:
            self.start_component(component)
        children = self.children
        wait_until(self.healthy, "Airflow to be healthy", seconds=120, children=children)
        if self.listening:
            wait_until(self._listens, "the listener", seconds=120, children=children)

    def healthy(self) -> bool:
        """Return whether the API answers and reports the components as healthy."""
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and all(
            answer.json()[_HEALTH[name]]["status"] == "healthy" for name in self.components
        )

    def _listens(self) -> bool:
        """Return whether all DAG files are parsed and the listener has joined its group."""
        logs = (self._logs / "dag_id=xray_listener").rglob("*.log")
        if not any(JOINED in log.read_text(errors="replace") for log in logs):
            return False
        with self.api() as api:
            try:
                for file in self.dags.glob("*.py"):
                    api.get(f"/dags/{file.stem}")
            except httpx.HTTPStatusError as error:
                if error.response.status_code == 404:
                    return False  # Not parsed yet.
                raise
        return True

    def _airflow_settings(self, database_url: str) -> dict[str, str]:
        """Return the environment variables of Airflow's processes."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        passwords = self.home / "passwords.json"
        service = secrets.token_urlsafe(16)
        passwords.touch(mode=0o600)
        users = {self.user: "admin", "xray-service": "user", **self.users}
        known = {**dict.fromkeys(users, self.password), "xray-service": service}
        passwords.write_text(json.dumps(known))
        return {
            **shared_settings("airflow.env"),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__EXECUTOR": "xray.airflow.executor.RestingLocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(self.parallelism),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__FERNET_KEY": _fernet_key(),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(map(":".join, users.items())),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW_CONN_XRAY_S3": _connection(
                conn_type="aws",
                login=self.s3_login[1],
                password=self.s3_login[2],
                extra={"endpoint_url": self.s3_login[0], "region_name": object_store.REGION},
            ),
            "AIRFLOW_CONN_XRAY_KAFKA": _connection(
                conn_type="kafka",
                extra={
                    "bootstrap.servers": self.brokers,
                    "group.id": GROUP,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    # The mock cluster keeps a member that has left until its session times out.
                    "session.timeout.ms": 6000,
                    **self.kafka,
                },
            ),
            "AIRFLOW_CONN_XRAY_API": _connection(
                conn_type="http",
                host="127.0.0.1",
                port=port,
                login="xray-service",
                password=service,
            ),
            "AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET": self.secret,
            "AIRFLOW_VAR_XRAY_SETTINGS": json.dumps(self.settings),
            **self.airflow_settings,
        }


def _clean_environment() -> dict[str, str]:
    """Return the environment without its settings of Airflow, AWS and this package."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "AWS_", "XRAY_"))}


def shared_settings(file: str) -> dict[str, str]:
    """Return the environment variables that a file of ``config/`` sets."""
    lines = (ROOT / "config" / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _connection(**fields: Any) -> str:
    return json.dumps(fields)


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
