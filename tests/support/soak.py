"""The parts of the soak: who sends the messages, the faults, and the memory of the triggerer."""

from __future__ import annotations

import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from botocore.exceptions import BotoCoreError, ClientError
from confluent_kafka import Producer

from include.demo.stack import Stack
from include.demo.verification import BUCKET, END_STATES, Expected
from include.servers.processes import wait_until
from include.servers.real.kafka import Kafka
from include.servers.real.versitygw import Versitygw
from tests.support import notification
from tests.support.api_proxy import ApiProxy
from tests.support.proxy import LOSE_ANSWER
from tests.support.s3_proxy import S3Proxy
from tests.support.workers import SUPERVISOR, TASK
from xray.airflow.config import CASE_DAG, TOPIC
from xray.case import Source
from xray.notification import parse

RATE = 5.0
"""Messages a second."""
UPLOAD_EVERY = 20
"""One of so many messages may announce an upload; the others repeat an earlier message."""
MOST_ACTIVE = 8
"""Cases that have not ended, at which no object is uploaded: a slow machine gets fewer uploads."""
OVERWRITE_SHARE = 0.25
"""The share of the uploads that overwrite an earlier object."""
SHORTEST, LONGEST = 5.0, 12.0
"""Seconds that a fault lasts."""
SERVICE = "xray-soak"
"""The user of the connection ``xray_api``."""
WARM = (50.0, 80.0)
"""The age of a triggerer, in seconds, at which its memory is compared with that at its end."""
LONG_LIFE = 120.0
"""The age in seconds from which on the memory of a triggerer says something."""
PATIENCE = 180.0
"""Seconds until a killed server or component must answer again."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload and the message that announces it."""

    expected: Expected
    """The image, its key and its right result."""
    message: bytes
    run_id: str
    at: float
    """Seconds since the epoch."""

    @property
    def key(self) -> str:
        """The object key."""
        return self.expected.key


class Sender(threading.Thread):
    """Uploads images, and sends :data:`RATE` messages a second until it is stopped.

    It sends as a store with persistent notifications does: a message follows each upload that
    the store has confirmed, and it is sent until the broker has confirmed it.
    """

    def __init__(self, soak: Soak, images: Sequence[Expected], randomness: random.Random) -> None:
        super().__init__(daemon=True)
        self._soak, self._images, self._random = soak, images, randomness
        self._s3 = soak.gateway.s3
        self._producer = Producer({**soak.kafka.client, "partitioner": "random"})
        self._stopped = threading.Event()
        self.uploads: list[Upload] = []
        self.sent = 0
        self.ended = 0
        """How many cases have ended, as far as is known."""
        self.error: Exception | None = None

    def run(self) -> None:
        """Send until :meth:`stop` is called; what was held up by a fault follows at once."""
        began = time.monotonic()
        try:
            while not self._stopped.wait(max(0.0, began + self.sent / RATE - time.monotonic())):
                active = len(self.uploads) - self.ended
                if self.sent % UPLOAD_EVERY == 0 and active < MOST_ACTIVE:
                    self.uploads.append(self._upload())
                    message = self.uploads[-1].message
                else:
                    message = self._random.choice(self.uploads).message
                self._producer.produce(TOPIC, message)
                self._producer.poll(0)
                self.sent += 1
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        """Stop, and return once the broker has confirmed all messages."""
        self._stopped.set()
        self.join(PATIENCE)
        assert self.error is None, repr(self.error)
        assert self._producer.flush(PATIENCE) == 0

    def note(self, states: dict[str, str]) -> None:
        """Take note of how many cases have ended."""
        self.ended = max(self.ended, sum(state in END_STATES for state in states.values()))

    def newest(self) -> dict[str, Upload]:
        """Return the last upload of each object key."""
        return {upload.key: upload for upload in self.uploads}

    def _upload(self) -> Upload:
        number = len(self.uploads)
        image = self._images[number % len(self._images)]
        key = f"soak/{number:04} {image.path.name}"
        if self.uploads and self._random.random() < OVERWRITE_SHARE:
            key = self._random.choice(self.uploads).key
            image = self._random.choice([one for one in self._images if one.path.name not in key])
        data = image.path.read_bytes()
        etag = self._put(key, data)
        message = notification(key, sequencer=f"{number:08X}", etag=etag, size=len(data))
        (created,) = parse(message).records
        run_id = Source.from_notification(created).run_id(self._soak.stack.keyring)
        expected = Expected(image.path, key, image.label, image.risk, None)
        return Upload(expected, message, run_id, time.time())

    def _put(self, key: str, data: bytes) -> str:
        """Upload an object, as often as it takes, and return its etag."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)
            except (BotoCoreError, ClientError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)  # The pace of a client that tries again.
            else:
                return str(answer["ETag"]).strip('"')


@dataclass
class Soak:
    """The servers of the soak, and the faults that happen to them."""

    stack: Stack
    kafka: Kafka
    gateway: Versitygw
    s3_proxy: S3Proxy
    api_proxy: ApiProxy
    random: random.Random
    restarted: list[str] = field(default_factory=list)
    """The components that ended and were started again, in their order."""

    def supervise(self) -> None:
        """Start each component of Airflow that has ended, as Docker and Kubernetes do."""
        for child in list(self.stack.airflow):
            if child.process.poll() is not None:
                self.restarted.append(child.name)
                self.stack.start_component(child.name)

    def faults(self) -> dict[str, Callable[[], Any]]:
        """Return the faults by their names; each is a context manager and lasts as long as it."""
        components = ("triggerer", "scheduler", "api-server", "dag-processor")
        killed = {
            f"`kill -9` of the {name}": lambda name=name: self._killed_component(name)
            for name in components
        }
        return {
            **killed,
            "`kill -9` of a task": self._killed_task,
            "`kill -9` of the database": lambda: self._killed_server(self.stack.database),
            "`kill -9` of the store": lambda: self._killed_server(self.gateway),
            "broker restart": lambda: self._killed_server(self.kafka),
            "HTTP 500 for half of the API calls": lambda: self._api_fault(500),
            "lost answers of half of the API calls": lambda: self._api_fault(LOSE_ANSWER),
            "HTTP 503 of the store": self._store_refuses,
            "listener paused": lambda: self._paused("xray_listener"),
            "case DAG paused": lambda: self._paused(CASE_DAG),
            "revoked login": self._revoked_login,
        }

    def deck(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """Yield faults in random order, none a second time before all others had their turn."""
        while True:
            cards = list(self.faults().items())
            self.random.shuffle(cards)
            yield from cards

    @contextmanager
    def _killed_component(self, name: str) -> Iterator[None]:
        self.stack.component(name).kill()
        yield

    @contextmanager
    def _killed_task(self) -> Iterator[None]:
        """Kill the process of a running task, if there is one."""
        scheduler = psutil.Process(self.stack.component("scheduler").process.pid)
        tasks = [one for one in scheduler.children(recursive=True) if _runs_a_task(one)]
        if tasks:
            self.random.choice(tasks).kill()
        yield

    @contextmanager
    def _killed_server(self, server: Any) -> Iterator[None]:
        server.kill()
        try:
            yield
        finally:
            server.start()

    @contextmanager
    def _api_fault(self, status: int) -> Iterator[None]:
        self.api_proxy.fault = lambda *_: status if self.random.random() < 0.5 else None
        try:
            yield
        finally:
            self.api_proxy.fault = None

    @contextmanager
    def _store_refuses(self) -> Iterator[None]:
        self.s3_proxy.away = 503
        try:
            yield
        finally:
            self.s3_proxy.away = None

    @contextmanager
    def _paused(self, dag_id: str) -> Iterator[None]:
        self._pause(dag_id, True)
        try:
            yield
        finally:
            self._pause(dag_id, False)

    def _pause(self, dag_id: str, paused: bool) -> None:
        def done() -> bool:
            self.supervise()
            try:
                with self.stack.api() as api:
                    api.patch(f"/dags/{dag_id}", {"is_paused": paused})
            except httpx.HTTPError:
                return False  # The API server is still on its way up.
            return True

        wait_until(done, f"{dag_id} to be paused or unpaused", seconds=PATIENCE)

    @contextmanager
    def _revoked_login(self) -> Iterator[None]:
        """Give the account another password, and let its token be refused."""
        passwords = self.stack.home / "passwords.json"
        right = passwords.read_text()
        passwords.write_text(json.dumps({**json.loads(right), SERVICE: "another"}))
        self.api_proxy.fault = lambda _, path: None if path == "auth/token" else 401
        try:
            yield
        finally:
            passwords.write_text(right)
            self.api_proxy.fault = None


def _runs_a_task(process: psutil.Process) -> bool:
    try:
        title = "".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False
    return title.startswith(TASK.format("")) and not title.startswith(SUPERVISOR.format(""))


class TriggererMemory:
    """The memory of the processes of each triggerer that was running, by its age."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lives: dict[int, list[tuple[float, int]]] = {}

    def measure(self) -> None:
        """Note the resident memory of the present triggerer."""
        pid = self._stack.component("triggerer").process.pid
        try:
            process = psutil.Process(pid)
            whole = [process, *process.children(recursive=True)]
            resident = sum(one.memory_info().rss for one in whole)
        except psutil.NoSuchProcess:
            return  # It was killed a moment ago.
        age = time.time() - process.create_time()
        self._lives.setdefault(pid, []).append((age, resident))

    def growth(self) -> list[tuple[float, float]]:
        """Return the age and the growth of each triggerer that has lived long enough.

        A killed triggerer starts anew with its least memory. Therefore a triggerer is compared
        with itself: its memory at the end of its life with that after it has warmed up. 0.1 is a
        growth of 10 %.
        """
        found = []
        for life in self._lives.values():
            age = life[-1][0]
            warm = [resident for at, resident in life if WARM[0] <= at < WARM[1]]
            if age >= LONG_LIFE and warm:
                last = [resident for _, resident in life[-5:]]
                found.append((age, statistics.median(last) / statistics.median(warm) - 1))
        return found


def states(stack: Stack) -> dict[str, str]:
    """Return the state of each run of a case by its id; none if the API does not answer."""
    try:
        with stack.api() as api:
            runs = api.all(f"/dags/{CASE_DAG}/dagRuns", "dag_runs", order_by="id")
    except httpx.HTTPError:
        return {}
    return {run["dag_run_id"]: run["state"] for run in runs}


def log_to(path: Path) -> Callable[[str], None]:
    """Return a function that adds a line with the time to a file."""

    def write(line: str) -> None:
        with path.open("a") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    return write
