"""One run per notification: the listener of this package beside two ways of stock Airflow.

The three ways run one after the other in one stack with one Kafka broker and one database. Each has
a topic with three partitions and a target DAG of the same shape. Each is sent a burst of
notifications at once, then a trickle of one message a second.

The outcomes of the messages (:mod:`bench.outcomes` defines them) are counted twice.
``after_burst`` counts those of the burst, when each message has a run or no new run was created for
``patience`` seconds. ``in_the_end`` counts all messages, after the trickle and the same wait.

``runs_per_second`` is measured on the burst: its runs, divided by the time from the first message
to the last run. The latency is measured on the trickle: from just before a message is sent until
its first run is created (``queued_at``), over the messages that have a run. A way that starts fewer
runs than one a second falls behind, and its latency shows that.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.outcomes import (
    Result,
    Run,
    Sent,
    count_outcomes,
    latency_percentiles,
    runs_per_second,
)
from include.demo.api import Api
from include.demo.stack import GROUP, ROOT, Stack
from include.servers.processes import wait_until
from include.servers.real.kafka import Kafka
from xray.case import Source
from xray.pseudonym import Keyring

WORK = ROOT / ".cache" / "bench"
PARTITIONS = 3
PATIENCE = 45.0
"""Seconds without a new run after which no further run is expected."""
PACE = 1.0
"""Seconds between two messages of the trickle."""
POLL_SECONDS = 1.0
"""Seconds between two requests for the number of runs: the API server must also start runs."""
START_SECONDS = 120.0
"""Seconds that a listener may take to start or to stop; DAG files are parsed twice a minute."""


@dataclass(frozen=True)
class Way:
    """One way from a message to a run; its topic and its DAGs are named after it."""

    name: str
    group: str
    listener: bool = True
    """Whether a DAG of its own listens; otherwise the asset of the target DAG is watched."""

    @property
    def topic(self) -> str:
        """The topic with the messages."""
        return f"bench_{self.name}"

    @property
    def target(self) -> str:
        """The DAG whose runs the messages should start."""
        return f"bench_{self.name}_case"

    @property
    def dags(self) -> list[str]:
        """All DAGs of this way."""
        return [self.target, self.topic] if self.listener else [self.target]


WAYS = (
    Way("xray", GROUP),
    Way("await_message", "bench_await_message"),
    Way("asset_watcher", "bench_asset_watcher", listener=False),
)


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--burst", type=int, default=300, help="messages sent at once")
    parser.add_argument("--trickle", type=int, default=20, help="messages sent one a second")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all ways, and return the figures."""
    shutil.rmtree(WORK, ignore_errors=True)
    console.print("Starting Apache Kafka and Airflow …")
    with (
        Kafka(WORK / "kafka", partitions=PARTITIONS) as kafka,
        _stack(kafka) as stack,
        stack.api() as api,
        Progress(console=console) as progress,
    ):
        trials = {way.name: Trial(way, kafka, api, stack.keyring, progress) for way in WAYS}
        ways = {
            name: trial.measure(options.burst, options.trickle) for name, trial in trials.items()
        }
    return {"patience": PATIENCE, "ways": ways}


def _stack(kafka: Kafka) -> Stack:
    """Return Airflow with the paused DAGs, and a Kafka connection for each stock way."""
    settings = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}
    for way in WAYS:
        if way.group != GROUP:
            # The same settings as in the connection of the stack.
            extra = {
                **kafka.client,
                "group.id": way.group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
            }
            connection = json.dumps({"conn_type": "kafka", "extra": extra})
            settings[f"AIRFLOW_CONN_{way.topic.upper()}"] = connection
    return Stack(
        home=WORK / "airflow",
        kafka=kafka.client,
        dags=ROOT / "bench" / "dags",
        listening=False,
        storage=False,
        airflow_settings=settings,
    )


class Trial:
    """The messages of one way, and their results."""

    def __init__(
        self, way: Way, kafka: Kafka, api: Api, keyring: Keyring, progress: Progress
    ) -> None:
        self._way, self._kafka, self._api, self._progress = way, kafka, api, progress
        self._keyring = keyring
        self._producer = Producer({**kafka.client, "log_level": 2})
        self._admin = AdminClient({**kafka.client, "log_level": 2})
        self._sent: list[Sent] = []

    def measure(self, burst: int, trickle: int) -> dict[str, Any]:
        """Start the way, send a burst and a trickle, stop the way, and return the figures."""
        self._kafka.create_topic(self._way.topic)
        self._start()
        first = self._send("burst", burst)
        after_burst = self._settle("burst")
        second = self._send("trickle", trickle, PACE)
        in_the_end = self._settle("trickle")
        self._stop()
        return {
            "after_burst": count_outcomes(first, after_burst),
            "in_the_end": count_outcomes(self._sent, in_the_end),
            "runs_per_second": runs_per_second(first, after_burst),
            "latency_seconds": latency_percentiles(second, in_the_end),
        }

    def _start(self) -> None:
        for dag_id in self._way.dags:
            wait_until(
                partial(self._pause, dag_id, False), f"the DAG {dag_id}", seconds=START_SECONDS
            )
        wait_until(
            lambda: self._assigned() == PARTITIONS,
            f"the listener of {self._way.name}",
            seconds=START_SECONDS,
        )

    def _stop(self) -> None:
        for dag_id in self._way.dags:
            self._pause(dag_id, True)
            for running in self._runs(dag_id, state="running"):
                path = f"/dags/{dag_id}/dagRuns/{running['dag_run_id']}"
                self._api.patch(path, {"state": "failed"})
        wait_until(
            lambda: self._assigned() == 0,
            f"the end of the listener of {self._way.name}",
            seconds=START_SECONDS,
        )

    def _pause(self, dag_id: str, paused: bool) -> bool:
        """Pause or unpause a DAG; return whether Airflow knows the DAG."""
        try:
            self._api.patch(f"/dags/{dag_id}", {"is_paused": paused})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            return False
        return True

    def _assigned(self) -> int:
        """Return the number of partitions that are assigned to the members of the group."""
        group = self._way.group
        with suppress(KafkaException):  # Raised for a group that has never had a member.
            members = self._admin.describe_consumer_groups([group])[group].result().members
            return sum(len(member.assignment.topic_partitions) for member in members)
        return 0

    def _send(self, phase: str, count: int, pace: float = 0.0) -> list[Sent]:
        messages = []
        for number in range(count):
            key = f"{phase}-{number:05}.jpeg"
            sent = Sent(key, time.time(), number % PARTITIONS)
            messages.append(sent)
            self._producer.produce(
                self._way.topic,
                notification(key),
                partition=sent.partition,
                on_delivery=partial(_delivered, sent),
            )
            self._producer.poll(0)
            time.sleep(pace)
        self._producer.flush()
        self._sent += messages
        return messages

    def _settle(self, phase: str) -> Result:
        """Wait until all messages have a run, or no further run is expected."""
        label = f"{self._way.name}, {phase}"
        bar = self._progress.add_task(label, total=len(self._sent))
        count, changed = 0, time.monotonic()
        while time.monotonic() - changed < PATIENCE:
            now = self._count()
            if now != count:
                count, changed = now, time.monotonic()
                self._progress.update(bar, completed=count)
                # Reading all runs is expensive, so it is done only when the number is right.
                if count >= len(self._sent) and len(self._result().runs) == len(self._sent):
                    break
            time.sleep(POLL_SECONDS)
        return self._result()

    def _count(self, **query: Any) -> int:
        answer = self._api.get(f"/dags/{self._way.target}/dagRuns", limit=1, **query)
        return int(answer["total_entries"])

    def _runs(self, dag_id: str, **query: Any) -> list[Any]:
        return self._api.all(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="id", **query)

    def _result(self) -> Result:
        """Return the present results of the messages."""
        # The API fails on an asset event whose run has not started.
        wait_until(
            lambda: self._count(state="queued") == 0, "the start of all runs", seconds=START_SECONDS
        )
        result = Result(committed=self._kafka.committed(self._way.group, self._way.topic))
        events = [] if self._way.listener else self._events()
        for described in self._runs(self._way.target):
            run = Run.from_api(described)
            if self._way.listener:
                key = Source.from_conf(described["conf"], self._keyring).key
                result.runs[key].add(run)
            for key, run_ids in events:
                if run.run_id in run_ids:
                    result.runs[key].add(run)
        result.recorded.update(key for key, _ in events)
        return result

    def _events(self) -> list[tuple[str, set[str]]]:
        """Return the object key of each asset event, and the ids of the runs that consumed it."""
        return [
            (object_key(event["extra"]["payload"]), {r["run_id"] for r in event["created_dagruns"]})
            for event in self._api.all("/assets/events", "asset_events", order_by="timestamp")
        ]


def notification(key: str) -> bytes:
    """Return a notification in the form that Ceph sends."""
    entry = {"key": key, "eTag": "abc", "size": 3, "sequencer": "1"}
    record = {
        "eventSource": "ceph:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "xray-data-in"}, "object": entry},
    }
    return json.dumps({"Records": [record]}).encode()


def object_key(message: str) -> str:
    """Return the object key in a notification."""
    return str(json.loads(message)["Records"][0]["s3"]["object"]["key"])


def _delivered(sent: Sent, error: Any, message: Any) -> None:
    if error is not None:
        raise KafkaException(error)
    sent.offset = message.offset()


def table(result: dict[str, Any]) -> Table:
    """Return the figures of the ways side by side, with their ratios to those of the first way."""
    ways = {way.name: result["ways"][way.name] for way in WAYS}
    drawn = Table("", *ways, title="One run per notification")
    for phase in ("after_burst", "in_the_end"):
        counts = [way[phase] for way in ways.values()]
        sent = counts[0]["sent"]
        drawn.add_row(f"[bold]{phase.replace('_', ' ')}: of {sent} messages")
        drawn.add_row("with a run", *(f"{one['started'] / sent:.1%}" for one in counts))
        for name in ("runs", "lost", "stranded", "doubled"):
            drawn.add_row(name, *(str(one[name]) for one in counts), end_section=name == "doubled")
    drawn.add_row(
        "runs a second (burst)", *_with_ratios([w["runs_per_second"] for w in ways.values()])
    )
    for name in ("p50", "p95"):
        seconds = [way["latency_seconds"][name] for way in ways.values()]
        drawn.add_row(f"latency {name}, s (trickle)", *_with_ratios(seconds))
    return drawn


def _with_ratios(values: Sequence[float | None]) -> list[str]:
    """Return each figure with its ratio to the first one."""
    first, *others = values
    cells = ["none" if first is None else f"{first:g}"]
    for value in others:
        if value is None or not first:
            cells.append("none" if value is None else f"{value:g}")
        else:
            times = value / first
            cells.append(
                f"{value:g} ({times:.0f}x)" if times >= 10 else f"{value:g} ({times:.2g}x)"
            )
    return cells
