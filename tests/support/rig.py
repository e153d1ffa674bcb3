"""The servers of the fault tests: Kafka, PostgreSQL, Airflow, the listener, a light case DAG."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from confluent_kafka import Consumer, Producer

from include.demo.api import Api
from include.demo.stack import COMPONENTS, GROUP, Stack
from include.servers.embedded.database import Database
from include.servers.processes import marked, wait_until
from include.servers.real.kafka import Kafka
from tests.support import ROOT, notification
from xray.airflow.listener.trigger import NotificationTrigger
from xray.case import Source

TOPIC, DEAD_LETTERS = "storage", "storage.dlq"
LONG = 240.0
"""Seconds that a condition may take."""
PAGE = 2000
"""Runs in one answer of the API."""
MAX_POLL_SECONDS = 10
CASE = '''
"""A case with a single empty task: the fault tests need thousands of runs."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, dag


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=200,
    params={"size": Param(0, type=["null", "integer"], maximum=%d)},
)
def xray_case() -> None:
    EmptyOperator(task_id="look")


xray_case()
'''
RECONCILE = '''
"""The DAG that looks for the objects of lost messages, without its work."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag


@dag(schedule=None, catchup=False)
def xray_reconcile() -> None:
    EmptyOperator(task_id="look")


xray_reconcile()
'''
LIMIT = 1000
"""Bytes above which the light case DAG refuses a run."""


class Rig:
    """The running servers, with the requests and assertions of the tests."""

    def __init__(self, kafka: Kafka, stack: Stack, api: Api, metrics: Metrics) -> None:
        self.kafka, self.stack, self.api, self.metrics = kafka, stack, api, metrics
        self.producer = Producer({**kafka.client, "partitioner": "random"})

    def send(
        self, messages: Iterable[bytes], topic: str = TOPIC, pace: float = 0, spread: int = 0
    ) -> None:
        """Send messages, ``pace`` seconds apart.

        Args:
            messages: the messages.
            topic: the topic.
            pace: seconds between two messages.
            spread: how many partitions get the messages in turn; 0 for random ones.
        """
        for number, message in enumerate(messages):
            self.producer.produce(topic, message, partition=number % spread if spread else -1)
            self.producer.poll(pace)
        assert self.producer.flush(60) == 0

    def count(self) -> int:
        """Return the number of runs."""
        return int(self.api.get("/dags/xray_case/dagRuns", limit=1)["total_entries"])

    def keys(self, **query: str) -> Counter[str]:
        """Return the number of runs of each object key."""
        runs = self.api.all(
            "/dags/xray_case/dagRuns", "dag_runs", order_by="id", limit=PAGE, **query
        )
        return Counter(Source.from_conf(run["conf"], self.stack.keyring).key for run in runs)

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause or unpause a DAG."""
        self.api.patch(f"/dags/{dag_id}", {"is_paused": paused})

    def until(self, condition: Callable[[], bool], what: str, seconds: float = LONG) -> None:
        """Wait for a condition."""
        wait_until(condition, what, seconds=seconds)

    def until_committed(self, topic: str = TOPIC) -> None:
        """Wait until all messages of the topic are committed."""
        self.until(
            lambda: self.kafka.committed(GROUP, topic) == self.kafka.end_offsets(topic),
            "the commit of all offsets",
        )

    def assert_one_run_each(self, keys: Iterable[str]) -> int:
        """Wait until the topic is committed; each of the keys must then have exactly one run."""
        self.until_committed()
        wanted, found = set(keys), self.keys()
        missing = sorted(key for key in wanted if not found[key])
        assert missing == [], f"{len(missing)} of {len(wanted)} have no run"
        assert [key for key in wanted if found[key] > 1] == []
        return len(wanted)

    def restart(self, component: str, *, after: float = 0) -> None:
        """Kill one of Airflow's processes, and start it again ``after`` seconds later."""
        self.stack.component(component).kill()
        time.sleep(after)  # The length of the outage is what is tested.
        self.stack.start_component(component)

    @property
    def database(self) -> Database:
        """Airflow's database."""
        assert self.stack.database is not None
        return self.stack.database

    def kill_everything(self) -> None:
        """Kill all processes of Airflow, the database and the broker, as ``kill -9`` does."""
        for child in self.stack.airflow:
            child.kill()
        self.database.kill()
        self.kafka.kill()
        for pid in marked(self.stack.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def start_everything(self) -> None:
        """Start all parts again, and return once Airflow is healthy."""
        self.database.start()
        self.kafka.start()
        for component in COMPONENTS:
            self.stack.start_component(component)
        self.until(self.stack.healthy, "all parts")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement on Airflow's database, and return the rows of its answer."""
        address = self.database.url.replace("+psycopg2", "")
        with closing(psycopg2.connect(address)) as connection, connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def member(self, **arguments: Any) -> Iterator[Member]:
        """Run one more sensor of the consumer group in a thread of the test."""
        names = [name for name in self.stack.env if name.startswith("AIRFLOW_CONN_XRAY")]
        names += [name for name in self.stack.env if name.startswith("AIRFLOW_VAR_XRAY")]
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: self.stack.env[name] for name in names})
        member = Member(NotificationTrigger(**arguments))
        try:
            yield member
        finally:
            member.stop()
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def dead_letters(self, count: int, topic: str = DEAD_LETTERS) -> list[tuple[bytes, str]]:
        """Return the first ``count`` dead letters, each with its reason."""
        found: list[tuple[bytes, str]] = []
        consumer = Consumer(
            {**self.kafka.client, "group.id": "letters", "auto.offset.reset": "earliest"}
        )
        consumer.subscribe([topic])
        try:
            while len(found) < count:
                message = consumer.poll(30)
                assert message is not None, f"{len(found)} of {count} dead letters"
                if not message.error():
                    found.append((message.value(), dict(message.headers())["xray-reason"].decode()))
        finally:
            consumer.close()
        return found


class Member:
    """A trigger that runs in a thread."""

    def __init__(self, trigger: NotificationTrigger) -> None:
        self._trigger = trigger
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        async def drain() -> None:
            async for _ in self._trigger.run():
                raise AssertionError("the trigger never fires")

        self._task = self._loop.create_task(drain())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.error = error

    def stop(self) -> None:
        if self._task:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(60)
        assert not self._thread.is_alive()


class Metrics:
    """A StatsD server that adds up the counters and keeps the last value of each gauge."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            for line in self.socket.recv(65536).decode().splitlines():
                with suppress(ValueError):  # One of Airflow's own that has no number.
                    name, _, rest = line.partition(":")
                    value, kind = rest.split("|")[:2]
                    if kind == "c":
                        self.counts[name] += int(float(value))
                    elif kind == "g":
                        self.gauges[name] = float(value)


@contextmanager
def rig(folder: Path) -> Iterator[Rig]:
    """Start all servers, and stop them at the end."""
    dags, metrics = folder / "dags", Metrics()
    dags.mkdir()
    for name in ("xray_listener.py", "xray_replay.py"):
        shutil.copy(ROOT / "dags" / name, dags)
    write_case(dags, LIMIT)
    (dags / "xray_reconcile.py").write_text(RECONCILE)
    with Kafka(folder / "kafka", settings={"offsets.retention.minutes": "60"}) as kafka:
        kafka.create_topic(TOPIC)
        kafka.create_topic(DEAD_LETTERS)
        stack = Stack(
            home=folder / "airflow",
            dags=dags,
            storage=False,
            users={"xray-viewer": "viewer"},
            kafka={**kafka.client, "max.poll.interval.ms": MAX_POLL_SECONDS * 1000},
            airflow_settings={
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3",
                "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": str(PAGE),
                "AIRFLOW__METRICS__STATSD_ON": "True",
                "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
                "AIRFLOW__METRICS__STATSD_PORT": str(metrics.port),
            },
        )
        with stack, stack.api() as api:
            yield Rig(kafka, stack, api, metrics)


def write_case(dags: Path, limit: int) -> None:
    """Write the light case DAG, which refuses objects above ``limit`` bytes."""
    (dags / "xray_case.py").write_text(CASE % limit)


def messages(prefix: str, count: int, **fields: Any) -> dict[str, bytes]:
    """Return ``count`` notifications by their keys."""
    keys = [f"{prefix}/{number}" for number in range(count)]
    return {key: notification(key, **fields) for key in keys}


def listener_log(home: Path) -> str:
    """Return the text of all logs of the listener."""
    logs = home.glob("logs/dag_id=xray_listener/**/*.log*")
    return "\n".join(path.read_text(errors="replace") for path in logs)
