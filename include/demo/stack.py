"""The embedded stack: a broker, an S3 server, a database, and Airflow with all its parts.

Everything runs on free ports of the loopback address and keeps its files under
``.airflow`` in the checkout, which each start empties.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from include.demo.judge import BUCKET
from include.servers.embedded import database, object_store
from include.servers.processes import MARK, Child, StartError, free_port, stop_all, wait_until
from xray.airflow import config
from xray.case import Buckets

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".airflow"

GROUP = "xray"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@dataclass
class Stack:
    """A running stack; a context manager."""

    home: Path = HOME
    notify: bool = True
    """Whether uploads are announced."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the pipeline (:class:`xray.settings.Settings`)."""
    parallelism: int = 4
    dags: Path = ROOT / "dags"
    kafka: dict[str, Any] = field(default_factory=dict)
    """Of the connection ``xray_kafka``, on top of what the embedded broker needs. With
    ``bootstrap.servers`` in it, no embedded broker is started."""
    listening: bool = True
    """Whether a start waits for the listener; not, where other DAGs are run."""
    storage: bool = True
    """Whether there is an object store; without one no case can run, but runs start."""
    store: tuple[str, str, str] | None = None
    """Address, access key and secret key of a store that announces uploads by itself. Without, an
    embedded one is started."""
    users: dict[str, str] = field(default_factory=dict)
    """More users of Airflow and their roles; each has the stack's password."""
    airflow_settings: dict[str, str] = field(default_factory=dict)
    """Environment of Airflow's processes, on top of all else."""
    user: str = "admin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    services: list[Child] = field(default_factory=list)
    airflow: list[Child] = field(default_factory=list)
    database: database.Database | None = None
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    brokers: str = ""
    s3_login: tuple[str, str, str] = ("", "", "")
    """Address, access key and secret key."""
    url: str = ""
    s3: Any = None
    env: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all parts; returns when they are ready for images."""
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / "logs").mkdir(parents=True)
        self.env = {**_clean_environment(), "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}"}
        self.env[MARK] = self.mark
        self.brokers = self.kafka.get("bootstrap.servers") or self._embedded_broker()
        if self.storage:
            self._start_store()
        self.database = database.start(self._service, env=self.env, log=self._log("initdb"))
        self._start_airflow(self.database.url)

    def stop(self) -> None:
        """Stop all parts; nothing of them is left."""
        # Airflow first: what it talks to must outlast it.
        stop_all(self.airflow, self.services[::-1], mark=self.mark)
        self.airflow.clear()
        self.services.clear()
        if self.database:
            self.database.remove()
            self.database = None

    def component(self, name: str) -> Child:
        """One of Airflow's processes: ``api-server``, ``scheduler``, ``triggerer`` …"""
        return next(child for child in self.airflow if child.name == name)

    def start_component(self, name: str, *command: str) -> None:
        """Start one of Airflow's processes, in the place of an ended one of that name.

        Args:
            name: what it is called; also Airflow's command, if none is given.
            command: Airflow's command.
        """
        airflow = str(Path(sys.executable).with_name("airflow"))
        self.airflow = [child for child in self.airflow if child.name != name]
        whole = [airflow, *(command or [name])]
        self.airflow.append(Child(name, whole, env=self.env, log=self._log(name)))

    def api(self) -> Api:
        """Airflow's REST API, as the stack's user."""
        return Api(self.url, self.user, self.password)

    @property
    def children(self) -> list[Child]:
        """All processes that the stack started itself."""
        return [*self.services, *self.airflow]

    def _embedded_broker(self) -> str:
        return self._embedded("broker").first_line(30)

    def _embedded(self, module: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", f"include.servers.embedded.{module}", *arguments]
        return self._service(module, command, prints_address=True)

    def _service(self, name: str, command: list[str], **options: Any) -> Child:
        child = Child(name, command, env=self.env, log=self._log(name), **options)
        self.services.append(child)
        return child

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _start_store(self) -> None:
        if self.store is None:
            embedded = self._embedded("object_store", self.brokers, config.TOPIC)
            self.s3_login = (embedded.first_line(60), "demo", "demo")
        else:
            self.s3_login = self.store
        self.s3 = object_store.client("s3", *self.s3_login)
        for name in (BUCKET, *Buckets(BUCKET).outputs()):
            self.s3.create_bucket(Bucket=name)
        if self.notify and self.store is None:
            object_store.announce(self.s3, BUCKET, config.TOPIC)

    def _start_airflow(self, database_url: str) -> None:
        self.env |= self._airflow_settings(database_url)
        airflow = str(Path(sys.executable).with_name("airflow"))
        log = self._log("migrate")
        with log.open("wb") as stream:
            done = subprocess.run(
                [airflow, "db", "migrate"],
                env=self.env,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            raise StartError(f"The database could not be made; the log is {log}.")
        for component in COMPONENTS:
            self.start_component(component)
        wait_until(self._healthy, "A healthy Airflow", seconds=120, children=self.children)
        if self.listening:
            wait_until(self._waits, "A waiting listener", seconds=120, children=self.children)

    def _healthy(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except httpx.HTTPError:
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return answer.status_code == 200 and all(
            answer.json()[part]["status"] == "healthy" for part in parts
        )

    def _waits(self) -> bool:
        with self.api() as api:
            try:
                for file in self.dags.glob("*.py"):
                    api.get(f"/dags/{file.stem}")
                tasks = api.get("/dags/xray_listener/dagRuns/~/taskInstances")["task_instances"]
            except httpx.HTTPStatusError as error:
                if error.response.status_code == 404:
                    return False  # Not parsed yet.
                raise
        return any(task["state"] == "deferred" for task in tasks)

    def _airflow_settings(self, database_url: str) -> dict[str, str]:
        """The environment of Airflow's processes."""
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
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
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
                    # The mock cluster forgets a member that left only when its session runs out.
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


class Api:
    """Airflow's REST API, logged in; a context manager."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        answer = self._http.post("/auth/token", json={"username": user, "password": password})
        answer.raise_for_status()
        self.token = str(answer.json()["access_token"])
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def patch(self, path: str, body: Any) -> Any:
        """Change what is at ``path``."""
        return self._send("PATCH", path, json=body)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of ``/api/v2`` + ``path``."""
        return self._send("GET", path, params=query)

    def post(self, path: str, body: Any) -> Any:
        """The JSON of the answer to ``body``."""
        return self._send("POST", path, json=body)

    def all(self, path: str, name: str, *, limit: int = 100, **query: Any) -> list[Any]:
        """All pages of a list, each of at most ``limit`` rows."""
        rows: list[Any] = []
        while True:
            page = self.get(path, limit=limit, offset=len(rows), **query)
            rows += page[name]
            if not page[name] or len(rows) >= page["total_entries"]:
                return rows

    def _send(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._http.request(method, f"/api/v2{path}", **arguments)
        answer.raise_for_status()
        return answer.json()


def _clean_environment() -> dict[str, str]:
    """The environment without anybody's Airflow or AWS settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "AWS_", "XRAY_"))}


def shared_settings(file: str) -> dict[str, str]:
    """What a file of ``config/`` puts into the environment of Airflow's processes."""
    lines = (ROOT / "config" / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _connection(**fields: Any) -> str:
    return json.dumps(fields)


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
