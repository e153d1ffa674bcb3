"""What a case costs, beside what Airflow itself costs and what the original demo cost.

One stack of Apache Kafka, versitygw, PostgreSQL and Airflow runs the demo's images, repeatedly and
under new keys, in four ways that take turns:

``empty``
    The tasks of a plain case, which do nothing: what Airflow itself costs.
``plain``
    Cases without an anonymised copy.
``anonymised``
    Cases with an anonymised copy each.
``original``
    The service of the demo that this package re-creates: see :mod:`bench.original`.

Each round has a burst of runs that start at once, and then runs that start one after the other
(``alone``, in seconds). The processor seconds of a burst are those above the cost of the idle stack
for the same time. Another program on the machine therefore affects the times, but hardly the
processor seconds. Each figure is given by its median, lowest and highest value over the rounds.

``ratio``
    Figures of one way divided by those of another, or less those of another, round by round.
``idle``
    The cores in use while no case runs. ``airflow`` is the sum without Kafka and the gateway.
``growth``
    A burst of plain cases in a database with few past cases and in the same database with many.
``start``
    The seconds until PostgreSQL and Airflow are ready and the listener listens.
``cold_start``
    The cost of a fresh interpreter that imports what a task needs. A task pays it if there is no
    warm worker, as in each pod of the KubernetesExecutor.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

from rich.console import Console

from bench.case_tables import table
from bench.comparison import Figure
from bench.costs import IDLE_SECONDS, Costs, Seconds, above, of_airflow, scaled, with_sum
from bench.original import OriginalService
from bench.past_cases import add_past_cases
from bench.stack import WORK, running_stack
from bench.ways import Images, Original, Spell, Way, connect, ways_of_airflow
from include.demo.stack import ROOT, Stack, shared_settings
from include.demo.verification import BUCKET
from include.servers.embedded.object_store import REGION
from xray.airflow.config import CASE_DAG
from xray.case import Buckets
from xray.storage import ObjectStore

__all__ = ["FIGURES", "add_options", "run", "table"]

PAST = (1_000, 100_000)
"""Past cases in the database, few and many."""
USUAL = {"rounds": 3, "cases": 32, "alone": 8, "past": PAST[1]}

FIGURES = (
    Figure("ratio.plain_to_empty"),
    Figure("ratio.alone_plain_to_empty"),
    Figure("ratio.anonymised_minus_plain_cpu"),
    Figure("ratio.plain_to_original_per_minute", more_is_better=True),
    Figure("ratio.growth_cpu"),
    Figure("ratio.growth_seconds"),
    Figure("plain.cpu.all"),
    Figure("anonymised.cpu.all"),
    Figure("plain.per_minute", more_is_better=True),
    Figure("anonymised.per_minute", more_is_better=True),
)
"""The figures that are compared with the recorded ones."""


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--rounds", type=int, default=USUAL["rounds"], help="rounds of all ways")
    parser.add_argument("--cases", type=int, default=USUAL["cases"], help="runs at once")
    parser.add_argument("--alone", type=int, default=USUAL["alone"], help="runs one by one")
    parser.add_argument("--past", type=int, default=USUAL["past"], help="past cases at the end")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, and return the figures."""
    with running_stack(console) as (stack, api, seconds):
        images = Images(stack)
        ways = ways_of_airflow(stack, api, images)
        bench = Bench(stack, console)
        bench.warm_up(ways)
        result: dict[str, Any] = {"idle": bench.idle(), "start": {"seconds": round(seconds, 1)}}
        with _original(stack) as service:
            bench.name(service)
            ways.append(Original("original", service.address, images))
            for number in range(options.rounds):
                for way in ways:
                    bench.round(way, number, options.cases, options.alone)
        bench.growth(ways[1], (PAST[0], options.past), options.rounds, options.cases)
    result |= bench.result()
    usual = all(getattr(options, name) == value for name, value in USUAL.items())
    return {**result, "cold_start": cold_start(), "partial": not usual}


@contextmanager
def _original(stack: Stack) -> Iterator[OriginalService]:
    """Start the service of the original demo on the stack's store."""
    address, access_key, secret_key = stack.s3_login
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "S3_ENDPOINT": address,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }
    with OriginalService(env=env, log=WORK / "original" / "service.log") as service:
        yield service


class Bench:
    """The measurements in a running stack."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self._stack, self._console = stack, console
        self._names = {child.process.pid: child.name for child in stack.children}
        self._costs = Costs(self._names)
        self._idle: Seconds = Counter()
        """Processor seconds per second of each component without cases."""
        self._rounds: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._alone: dict[str, list[list[float]]] = defaultdict(list)
        self._grown: dict[int, list[dict[str, Any]]] = {}
        self._past = ""
        """The id of the run whose rows are copied."""

    def name(self, service: OriginalService) -> None:
        """Count the processes of a server as a component of its own."""
        assert service.child is not None
        self._names[service.child.process.pid] = service.name

    def warm_up(self, ways: Sequence[Way]) -> None:
        """Let each way run once, before anything is measured."""
        for way in ways:
            self._past = self._run(way, "warm", 2).ids[0]

    def idle(self) -> dict[str, Any]:
        """Measure the cores in use without cases."""
        self._console.print(f"Measuring the idle stack for {IDLE_SECONDS:.0f} s …")
        self._idle = self._costs.idle()
        return {"cores": {**with_sum(self._idle), "airflow": round(of_airflow(self._idle), 3)}}

    def round(self, way: Way, number: int, burst: int, alone: int) -> None:
        """Measure a burst of a way, and runs that start one after the other."""
        found = self._burst(way, f"burst{number}", burst)
        self._rounds[way.name].append(found)
        seconds = [self._run(way, f"alone{number}-{one}", 1).seconds[0] for one in range(alone)]
        self._alone[way.name].append(seconds)
        self._console.print(
            f"Round {number + 1}, {way.name}: {found['per_minute']:.1f} a minute, "
            f"{found['cpu']['all']:.2f} CPU-s, alone {statistics.median(seconds):.2f} s"
        )

    def growth(self, way: Way, sizes: Sequence[int], rounds: int, burst: int) -> None:
        """Measure bursts while so many past cases are in the database."""
        before = 0
        for size in sizes:
            with closing(connect(self._stack)) as connection, connection.cursor() as cursor:
                add_past_cases(cursor, CASE_DAG, self._past, first=before + 1, last=size)
            before = size
            self._grown[size] = [
                self._burst(way, f"past{size}-{number}", burst) for number in range(rounds)
            ]
            cpu = statistics.median(one["cpu"]["all"] for one in self._grown[size])
            self._console.print(f"{size:,} past cases: {cpu:.2f} CPU-s a case")

    def _burst(self, way: Way, name: str, count: int) -> dict[str, Any]:
        start = way.prepare(name, count)
        stored, before = self._storage(), self._costs.cpu()
        with self._costs.peaks() as peaks:
            spell = start()
        spent = self._costs.cpu() - before
        cost = above(spent, scaled(self._idle, spell.span))
        after = self._storage()
        way.check(spell)
        return {
            "per_minute": 60 * count / spell.span,
            "seconds": spell.span / count,
            "cpu": with_sum(scaled(cost, 1 / count)),
            "bytes": {name: (after[name] - stored[name]) / count for name in stored},
            "peak_bytes": dict(peaks),
        }

    def _run(self, way: Way, name: str, count: int) -> Spell:
        spell = way.prepare(name, count)()
        way.check(spell)
        return spell

    def _storage(self) -> dict[str, int]:
        """Return the bytes in the database, in the logs of tasks and in the audit bucket."""
        with closing(connect(self._stack)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size('postgres')")
            (size,) = cursor.fetchone() or (0,)
        logs = (self._stack.home / "logs").glob(f"dag_id={CASE_DAG}/**/*.log")
        trail = ObjectStore(self._stack.s3).list(Buckets(BUCKET).audit)
        return {
            "database": int(size),
            "logs": sum(path.stat().st_size for path in logs),
            "audit": sum(entry.size for entry in trail),
        }

    def result(self) -> dict[str, Any]:
        """Return the figures of all rounds."""
        ways = {name: self._figures(name) for name in self._rounds}
        growth = {str(size): _summaries(rounds, "cpu") for size, rounds in self._grown.items()}
        for size, rounds in self._grown.items():
            growth[str(size)]["seconds"] = _summary([one["seconds"] for one in rounds])
        return {**ways, "growth": growth, "ratio": self._ratios()}

    def _figures(self, name: str) -> dict[str, Any]:
        rounds, alone = self._rounds[name], sorted(chain.from_iterable(self._alone[name]))
        return {
            "per_minute": _summary([one["per_minute"] for one in rounds]),
            "cpu": _summaries(rounds, "cpu"),
            "bytes": {key: one["median"] for key, one in _summaries(rounds, "bytes").items()},
            "peak_bytes": {
                key: int(one["high"]) for key, one in _summaries(rounds, "peak_bytes").items()
            },
            "alone": {
                "runs": len(alone),
                "p50": round(statistics.median(alone), 2),
                "p95": round(statistics.quantiles(alone, n=20, method="inclusive")[-1], 2),
            },
        }

    def _ratios(self) -> dict[str, Any]:
        rounds = self._rounds.items()
        cpu = {name: [one["cpu"]["all"] for one in found] for name, found in rounds}
        speed = {name: [one["per_minute"] for one in found] for name, found in rounds}
        alone = {name: [statistics.median(one) for one in of] for name, of in self._alone.items()}
        few, many = (self._grown[size] for size in self._grown)
        return {
            "plain_to_empty": _summary(_over(cpu["plain"], cpu["empty"])),
            "alone_plain_to_empty": _summary(_over(alone["plain"], alone["empty"])),
            "anonymised_minus_plain_cpu": _summary(
                [a - b for a, b in zip(cpu["anonymised"], cpu["plain"], strict=True)]
            ),
            "plain_to_original_per_minute": _summary(_over(speed["plain"], speed["original"])),
            "growth_cpu": _summary(_over(_all_cpu(many), _all_cpu(few))),
            "growth_seconds": _summary(
                _over([one["seconds"] for one in many], [one["seconds"] for one in few])
            ),
        }


def _all_cpu(rounds: Sequence[Mapping[str, Any]]) -> list[float]:
    return [one["cpu"]["all"] for one in rounds]


def _over(values: Sequence[float], others: Sequence[float]) -> list[float]:
    return [value / other for value, other in zip(values, others, strict=True)]


def _summary(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest value."""
    found = {"median": statistics.median(values), "low": min(values), "high": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def _summaries(rounds: Sequence[Mapping[str, Any]], name: str) -> dict[str, dict[str, float]]:
    """Return the summary of each component's values."""
    components = sorted({component for one in rounds for component in one[name]})
    return {key: _summary([one[name].get(key, 0.0) for one in rounds]) for key in components}


def cold_start() -> dict[str, float]:
    """Return the processor seconds and the bytes of a new interpreter with a task's imports."""
    modules = shared_settings("airflow.env")["AIRFLOW__CORE__MP_FORKSERVER_PRELOAD"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = f"import {modules}; import resource; "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'plugins'}:{ROOT}", "AIRFLOW_HOME": str(WORK)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": round(cpu, 2), "bytes": int(done.stdout.split()[-1])}
