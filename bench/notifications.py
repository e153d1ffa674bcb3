"""One run per notification: this project's intake beside Airflow's two stock ways.

All three work in one stack, on one Kafka broker and one database, one after
the other, each on a topic of its own with three partitions, each on a target
DAG of the same shape. Each is sent a burst of notifications at once, then a
trickle of one a second. What becomes of a message:

started
    At least one run is there for it. Where a run was started by several
    messages (``asset_watcher``), they all count: ``runs`` says how many runs
    there are. A run is there for a message if its conf names the object, or if
    it consumed the asset event that the message became.
lost
    It has no run, its offset is committed, and no asset event tells of it:
    nothing will ever start its run.
stranded
    It has no run, but something still knows of it: its offset is not
    committed, or an asset event is recorded that no run has consumed. A later
    message may bring it a run, or a restart may, or nothing.
doubled
    Runs beyond the first, summed over the messages.

They are counted twice: ``after_burst``, when each of the burst's messages has
its run or there was no new run for ``patience`` seconds; and ``in_the_end``,
over all messages, after the trickle and as long a wait. ``runs_per_second`` is
the burst's: its runs, by the time from the first message to the last run. A
latency is the trickle's: from just before a message is sent until the first run
for it is created (``queued_at``), over the messages that have one. A way that
starts less than a run a second falls behind, and its latencies show it.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Self

import httpx
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from include.demo.stack import GROUP, ROOT, Api, Stack
from include.servers.processes import wait_until
from include.servers.real.kafka import Kafka

WORK = ROOT / ".cache" / "bench"
PARTITIONS = 3
PATIENCE = 45.0
"""Seconds without a new run after which no more is expected."""
PACE = 1.0
"""Seconds between two messages of the trickle."""
LOOK = 1.0
"""Seconds between two looks at what has become of the messages: a look costs the API server,
which has runs to start."""
START_SECONDS = 120.0
"""How long a listener may take to start or to end; the DAG files are read twice a minute."""


@dataclass(frozen=True)
class Way:
    """One way from a message to a run; its name is that of its topic and its DAGs."""

    name: str
    group: str
    listener: bool = True
    """Whether a DAG of its own listens; if not, the target DAG's asset is watched."""

    @property
    def topic(self) -> str:
        """What it listens to."""
        return f"bench_{self.name}"

    @property
    def target(self) -> str:
        """The DAG that it is to start."""
        return f"bench_{self.name}_case"

    @property
    def dags(self) -> list[str]:
        """All DAGs that it needs."""
        return [self.target, self.topic] if self.listener else [self.target]


WAYS = (
    Way("xray", GROUP),
    Way("await_message", "bench_await_message"),
    Way("asset_watcher", "bench_asset_watcher", listener=False),
)


@dataclass
class Sent:
    """A message on its way, and where in the topic it ended up."""

    key: str
    at: float
    partition: int
    offset: int = -1


class Run(NamedTuple):
    """A run of a target DAG."""

    run_id: str
    created: float

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """The run that the API tells of."""
        return cls(told["dag_run_id"], datetime.fromisoformat(told["queued_at"]).timestamp())


@dataclass
class Found:
    """What became of the messages of a topic, by object key."""

    runs: dict[str, set[Run]] = field(default_factory=lambda: defaultdict(set))
    recorded: set[str] = field(default_factory=set)
    """Keys of which an asset event tells."""
    committed: Mapping[int, int] = field(default_factory=dict)


def add_options(parser: Any) -> None:
    """The options of this part."""
    parser.add_argument("--burst", type=int, default=300, help="messages sent at once")
    parser.add_argument("--trickle", type=int, default=20, help="messages sent one a second")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all ways."""
    shutil.rmtree(WORK, ignore_errors=True)
    console.print("Starting Apache Kafka and Airflow …")
    with (
        Kafka(WORK / "kafka", partitions=PARTITIONS) as kafka,
        _stack(kafka) as stack,
        stack.api() as api,
        Progress(console=console) as progress,
    ):
        trials = {way.name: Trial(way, kafka, api, progress) for way in WAYS}
        ways = {
            name: trial.measure(options.burst, options.trickle) for name, trial in trials.items()
        }
    return {"patience": PATIENCE, "ways": ways}


def _stack(kafka: Kafka) -> Stack:
    """Airflow with the bench's DAGs, all paused, and a connection to Kafka for each stock way."""
    settings = {"AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True"}
    for way in WAYS:
        if way.group != GROUP:
            # What the stack's own connection has.
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
    """The messages of one way, and what became of them."""

    def __init__(self, way: Way, kafka: Kafka, api: Api, progress: Progress) -> None:
        self._way, self._kafka, self._api, self._progress = way, kafka, api, progress
        self._producer = Producer({**kafka.client, "log_level": 2})
        self._admin = AdminClient({**kafka.client, "log_level": 2})
        self._sent: list[Sent] = []

    def measure(self, burst: int, trickle: int) -> dict[str, Any]:
        """Let it listen, send a burst and a trickle, and stop it: the next must be alone."""
        self._kafka.create_topic(self._way.topic)
        self._start()
        first = self._send("burst", burst)
        after_burst = self._settle("burst")
        second = self._send("trickle", trickle, PACE)
        in_the_end = self._settle("trickle")
        self._stop()
        return {
            "after_burst": outcome(first, after_burst),
            "in_the_end": outcome(self._sent, in_the_end),
            "runs_per_second": rate(first, after_burst),
            "latency_seconds": latency(second, in_the_end),
        }

    def _start(self) -> None:
        for dag_id in self._way.dags:
            wait_until(partial(self._pause, dag_id, False), dag_id, seconds=START_SECONDS)
        wait_until(
            lambda: self._assigned() == PARTITIONS,
            f"The way {self._way.name}, listening,",
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
            f"The end of the way {self._way.name}",
            seconds=START_SECONDS,
        )

    def _pause(self, dag_id: str, paused: bool) -> bool:
        """Press a DAG's pause button; whether it is there."""
        try:
            self._api.patch(f"/dags/{dag_id}", {"is_paused": paused})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != 404:
                raise
            return False
        return True

    def _assigned(self) -> int:
        """How many partitions the members of its group have."""
        group = self._way.group
        with suppress(KafkaException):  # A group that nobody ever joined is an error.
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

    def _settle(self, phase: str) -> Found:
        """Wait until all messages have a run, or no more is to be expected."""
        label = f"{self._way.name}, {phase}"
        bar = self._progress.add_task(label, total=len(self._sent))
        count, changed = 0, time.monotonic()
        while time.monotonic() - changed < PATIENCE:
            now = self._count()
            if now != count:
                count, changed = now, time.monotonic()
                self._progress.update(bar, completed=count)
                # Only then can all have one; to find out which is more than a look costs.
                if count >= len(self._sent) and len(self._find().runs) == len(self._sent):
                    break
            time.sleep(LOOK)
        return self._find()

    def _count(self, **query: Any) -> int:
        answer = self._api.get(f"/dags/{self._way.target}/dagRuns", limit=1, **query)
        return int(answer["total_entries"])

    def _runs(self, dag_id: str, **query: Any) -> list[Any]:
        return self._api.all(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="id", **query)

    def _find(self) -> Found:
        """What has become of the messages so far."""
        # The API cannot show an asset event whose run has not begun.
        wait_until(
            lambda: self._count(state="queued") == 0, "The runs' start", seconds=START_SECONDS
        )
        found = Found(committed=self._kafka.committed(self._way.group, self._way.topic))
        events = [] if self._way.listener else self._events()
        for told in self._runs(self._way.target):
            run = Run.of(told)
            if self._way.listener:
                found.runs[told["conf"]["key"]].add(run)
            for key, run_ids in events:
                if run.run_id in run_ids:
                    found.runs[key].add(run)
        found.recorded.update(key for key, _ in events)
        return found

    def _events(self) -> list[tuple[str, set[str]]]:
        """The object key of each asset event, and the runs that consumed it."""
        return [
            (object_key(event["extra"]["payload"]), {r["run_id"] for r in event["created_dagruns"]})
            for event in self._api.all("/assets/events", "asset_events", order_by="timestamp")
        ]


def notification(key: str) -> bytes:
    """A message as Ceph sends it."""
    entry = {"key": key, "eTag": "abc", "size": 3, "sequencer": "1"}
    record = {
        "eventSource": "ceph:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "xray-data-in"}, "object": entry},
    }
    return json.dumps({"Records": [record]}).encode()


def object_key(message: str) -> str:
    """The object that a message tells of."""
    return str(json.loads(message)["Records"][0]["s3"]["object"]["key"])


def _delivered(sent: Sent, error: Any, message: Any) -> None:
    if error is not None:
        raise KafkaException(error)
    sent.offset = message.offset()


def outcome(sent: Sequence[Sent], found: Found) -> dict[str, int]:
    """How many messages met which end; the module says what the words mean."""
    without = [one for one in sent if one.key not in found.runs]
    lost = [
        one
        for one in without
        if one.key not in found.recorded and one.offset < found.committed[one.partition]
    ]
    per_message = [len(found.runs[one.key]) for one in sent if one.key in found.runs]
    return {
        "sent": len(sent),
        "runs": len(_distinct(sent, found)),
        "started": len(per_message),
        "lost": len(lost),
        "stranded": len(without) - len(lost),
        "doubled": sum(per_message) - len(per_message),
    }


def _distinct(sent: Sequence[Sent], found: Found) -> set[Run]:
    return {one for message in sent for one in found.runs.get(message.key, ())}


def rate(sent: Sequence[Sent], found: Found) -> float | None:
    """Runs a second, from the first message to the last run."""
    runs = _distinct(sent, found)
    if not runs:
        return None
    return round(len(runs) / (max(one.created for one in runs) - sent[0].at), 2)


def latency(sent: Sequence[Sent], found: Found) -> dict[str, float | None]:
    """From a message to its first run, over the messages that have one."""
    seconds = sorted(
        min(one.created for one in found.runs[message.key]) - message.at
        for message in sent
        if message.key in found.runs
    )
    return {"p50": _percentile(seconds, 50), "p95": _percentile(seconds, 95)}


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest rank."""
    if not ordered:
        return None
    return round(ordered[math.ceil(percent / 100 * len(ordered)) - 1], 3)


def table(result: dict[str, Any]) -> Table:
    """The ways, side by side; in brackets how many times the first one's figure it is."""
    ways = {way.name: result["ways"][way.name] for way in WAYS}
    drawn = Table("", *ways, title="One run per notification")
    for phase in ("after_burst", "in_the_end"):
        counts = [way[phase] for way in ways.values()]
        sent = counts[0]["sent"]
        drawn.add_row(f"[bold]{phase.replace('_', ' ')}: of {sent} messages")
        drawn.add_row("with a run", *(f"{one['started'] / sent:.1%}" for one in counts))
        for name in ("runs", "lost", "stranded", "doubled"):
            drawn.add_row(name, *(str(one[name]) for one in counts), end_section=name == "doubled")
    drawn.add_row("runs a second (burst)", *_beside([w["runs_per_second"] for w in ways.values()]))
    for name in ("p50", "p95"):
        seconds = [way["latency_seconds"][name] for way in ways.values()]
        drawn.add_row(f"latency {name}, s (trickle)", *_beside(seconds))
    return drawn


def _beside(values: Sequence[float | None]) -> list[str]:
    """Figures, and how many times the first one they are."""
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
