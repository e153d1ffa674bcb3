"""The cost of a case: processor time, memory, time and storage, in the whole stack.

One stack of Apache Kafka, versitygw, PostgreSQL and Airflow receives the demo's images, repeatedly
and under new keys:

``idle``
    The cost of the stack while no case runs.
``alone``
    The time of a single case, from its upload to its end.
``burst``
    Many cases at once: the processor seconds of each component, and the bytes in the database, the
    logs and the audit trail, divided by the number of cases.
``waiting``
    The time of many cases at once while no case waits for a review, and while 1,000 cases do. They
    run in a stack of their own, without anonymisation, to be short.

The processor seconds of a component are those of its processes and of their ended children. The
idle cost is subtracted from that of the burst. Another program on the machine therefore affects the
times, but hardly the processor seconds. The memory of a component is the proportional set size of
its processes (shared pages are divided by the number of processes that share them): the maximum of
one sample a second.

``cold_start`` is the cost of a fresh interpreter that imports what a task needs. A task pays it if
there is no warm worker, as in each pod of the KubernetesExecutor.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psutil
import psycopg2
from rich.console import Console, Group
from rich.table import Table

from bench import waiting
from include.demo import run as demo
from include.demo.api import Api
from include.demo.stack import ROOT, Stack, shared_settings
from include.demo.verification import BUCKET, Case, expected_results, verify_case
from include.servers.processes import StartError, wait_until
from include.servers.real.kafka import Kafka
from include.servers.real.versitygw import Versitygw
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC
from xray.case import Buckets
from xray.settings import Settings
from xray.storage import ListedObject, ObjectStore

WORK = ROOT / ".cache" / "bench"
IDLE_SECONDS = 30.0
SERVERS = {"java": "kafka", "versitygw": "versitygw"}
"""The names of programs that the stack does not start itself, and their components."""
SAMPLE_SECONDS = 1.0
"""Seconds between two samples of the memory."""
PATIENCE, PATIENCE_PER_CASE = 120.0, 30.0
"""Seconds that all cases together may take, and the seconds for each of them."""
SETTINGS = {"anonymize": "always"}
"""With anonymisation, a case has the most steps."""
NO_COPY = {"anonymize": "never"}
WAITING, AFTER = 1000, 100
"""Cases that wait for a review, and the cases of each burst that is measured beside them."""


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--alone", type=int, default=3, help="cases, one after the other")
    parser.add_argument("--cases", type=int, default=32, help="cases at once")
    parser.add_argument("--waiting", type=int, default=WAITING, help="cases that wait for a review")
    parser.add_argument("--after", type=int, default=AFTER, help="cases at once beside them")
    parser.add_argument("--rounds", type=int, default=2, help="pairs of such bursts")
    parser.add_argument("--only-waiting", action="store_true", help="measure only these bursts")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure, and return the figures."""
    result: dict[str, Any] = {}
    if not options.only_waiting:
        with _servers(SETTINGS, console) as (_, stack, api):
            bench = Bench(stack, api)
            bench.cases("warm", 4)
            result = {
                "idle": bench.idle(),
                "alone": bench.alone(options.alone),
                "burst": bench.burst(options.cases),
                "cold_start": cold_start(),
            }
    with _servers(NO_COPY, console) as (kafka, stack, api):
        bench = Bench(stack, api)
        bench.cases("warm", 4)
        result["waiting"] = waiting.measure(
            stack,
            api,
            kafka,
            bench.seconds,
            cases=options.after,
            waiting=options.waiting,
            rounds=options.rounds,
            console=console,
        )
    usual = (options.waiting, options.after) == (WAITING, AFTER)
    return {**result, "partial": options.only_waiting or not usual}


@contextmanager
def _servers(settings: dict[str, Any], console: Console) -> Iterator[tuple[Kafka, Stack, Api]]:
    """Start everything anew, with these settings of the pipeline."""
    shutil.rmtree(WORK, ignore_errors=True)
    console.print("Starting Apache Kafka, versitygw and Airflow …")
    with Kafka(WORK / "kafka") as kafka:
        for topic in (TOPIC, DEAD_LETTER_TOPIC):
            kafka.create_topic(topic)
        with (
            Versitygw(WORK / "s3", brokers=kafka.brokers, topic=TOPIC) as gateway,
            _stack(kafka, gateway, settings) as stack,
            stack.api() as api,
        ):
            yield kafka, stack, api


def _stack(kafka: Kafka, gateway: Versitygw, settings: dict[str, Any]) -> Stack:
    return Stack(
        home=WORK / "airflow",
        kafka=kafka.client,
        store=(gateway.endpoint, gateway.access_key, gateway.secret_key),
        settings=settings,
    )


class Bench:
    """The measurements of a running stack."""

    def __init__(self, stack: Stack, api: Api) -> None:
        self._stack, self._api = stack, api
        self._idle: Counter[str] = Counter()
        """Processor seconds per second of each component without cases."""
        self._ended: tuple[Counter[str], float] = (Counter(), 0.0)
        """The processor seconds and the time when the last cases had ended."""

    def cases(self, name: str, count: int) -> list[Case]:
        """Run ``count`` cases, and verify each of them."""
        settings = Settings.from_mapping(self._stack.settings)
        images = expected_results(demo.IMAGES, Settings())
        wanted = [
            replace(images[n % len(images)], key=f"{name}/{n}/{images[n % len(images)].key}")
            for n in range(count)
        ]
        before = len(self._trail())
        uploaded = demo.upload(self._stack, wanted)
        # Requests to Airflow's API would add to the measured cost, so the audit trail is polled.
        wait_until(
            lambda: len(self._trail()) == before + count,
            f"the end of {count} cases",
            seconds=PATIENCE + count * PATIENCE_PER_CASE,
            children=self._stack.children,
        )
        self._ended = self._cpu_seconds(), time.monotonic()
        cases = demo.watch(self._stack, self._api, uploaded)
        store = ObjectStore(self._stack.s3)
        if wrong := [case.key for case in cases if verify_case(case, store, settings)]:
            raise StartError(f"{len(wrong)} of {count} cases did not come out right.")
        return cases

    def seconds(self, name: str, count: int) -> float:
        """Run ``count`` cases, verify them, and return the seconds until the last one had ended."""
        began = time.monotonic()
        self.cases(name, count)
        return self._ended[1] - began

    def _trail(self) -> list[ListedObject]:
        return list(ObjectStore(self._stack.s3).list(Buckets(BUCKET).audit))

    def idle(self) -> dict[str, Any]:
        """Measure the cost of the stack without cases."""
        before, began = self._cpu_seconds(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        cost = self._cpu_seconds() - before
        self._idle = _scaled(cost, 1 / (time.monotonic() - began))
        return {"cpu_per_hour": _divided(self._idle, 1 / 3600)}

    def alone(self, count: int) -> dict[str, float]:
        """Measure the seconds of cases that run one after the other."""
        seconds = sorted(float(self.cases(f"alone{n}", 1)[0].seconds or 0) for n in range(count))
        return {"cases": count, "median": statistics.median(seconds), "longest": seconds[-1]}

    def burst(self, count: int) -> dict[str, Any]:
        """Measure the cost per case of many cases at once."""
        before, stored, began = self._cpu_seconds(), self._storage(), time.monotonic()
        with self._peaks() as peaks:
            self.cases("burst", count)
        (spent, ended), after = self._ended, self._storage()
        seconds = ended - began
        return {
            "cases": count,
            "cases_per_minute": round(60 * count / seconds, 1),
            "cpu_per_case": _divided(
                _above_idle(spent - before, _scaled(self._idle, seconds)), count
            ),
            "bytes_per_case": {
                name: round((after[name] - stored[name]) / count) for name in stored
            },
            "peak_bytes": dict(peaks),
        }

    def _cpu_seconds(self) -> Counter[str]:
        """Return the processor seconds of each component since its start."""
        found: Counter[str] = Counter()
        for process, name in self._processes():
            with suppress(psutil.Error):
                found[name] += sum(process.cpu_times()[:4])  # type: ignore[assignment]
        return found

    def _processes(self) -> Iterator[tuple[psutil.Process, str]]:
        """Yield each process of the stack and its servers with the component that it belongs to.

        The children of the scheduler run tasks, so they are a component of their own.
        """
        names = {child.process.pid: child.name for child in self._stack.children}
        for root in psutil.Process().children():
            with suppress(psutil.Error):
                server = (SERVERS[word] for word in SERVERS if word in root.name())
                name = names.get(root.pid) or next(server, "the bench")
                yield root, name
                below = "tasks" if name == "scheduler" else name
                yield from ((process, below) for process in root.children(recursive=True))

    def _storage(self) -> dict[str, int]:
        """Return the bytes in the database, in the logs of tasks and in the audit bucket."""
        database = self._stack.database
        assert database is not None
        with psycopg2.connect(
            host="127.0.0.1",
            port=database.port,
            user="airflow",
            password=database.password,
            dbname="postgres",
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT pg_database_size('postgres')")
            (size,) = cursor.fetchone() or (0,)
        logs = (self._stack.home / "logs").glob("dag_id=xray_case/**/*.log")
        return {
            "database": int(size),
            "logs": sum(path.stat().st_size for path in logs),
            "audit": sum(entry.size for entry in self._trail()),
        }

    @contextmanager
    def _peaks(self) -> Iterator[dict[str, int]]:
        """Collect the largest memory of each component until the end of the context."""
        peaks: dict[str, int] = defaultdict(int)
        over = threading.Event()

        def sample() -> None:
            while not over.wait(SAMPLE_SECONDS):
                sizes: Counter[str] = Counter()
                for process, name in self._processes():
                    sizes[name] += _memory(process)
                for name, size in sizes.items():
                    peaks[name] = max(peaks[name], size)

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield peaks
        finally:
            over.set()
            thread.join()


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


def _memory(process: psutil.Process) -> int:
    """Return the proportional set size in bytes; 0 for a process that has ended."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def _scaled(seconds: Counter[str], factor: float) -> Counter[str]:
    return Counter({name: value * factor for name, value in seconds.items()})  # type: ignore[misc]


def _above_idle(cost: Counter[str], idle: Counter[str]) -> Counter[str]:
    """Return the cost above the idle cost, and at least 0, of each component."""
    return Counter({n: max(0, value - idle[n]) for n, value in cost.items()})


def _divided(seconds: Counter[str], count: float) -> dict[str, float]:
    """Return the processor seconds of each component and of all, divided by ``count``."""
    found = {name: round(value / count, 3) for name, value in sorted(seconds.items())}
    return {**found, "all": round(sum(seconds.values()) / count, 3)}


def table(result: dict[str, Any]) -> Group:
    """Return the tables of the cost of a case, of the needs of many cases a day, and of waiting."""
    tables = [_costs(result), _needs(result)] if "burst" in result else []
    return Group(*tables, _beside(result["waiting"]))


def _beside(figures: dict[str, Any]) -> Table:
    title = f"{figures['cases']} cases at once: median of {figures['rounds']}"
    drawn = Table("while there wait for a review", "seconds", "ratio", title=title)
    drawn.add_row("no cases", f"{figures['none']:.1f}", "1")
    many = f"{figures['waiting']:,} cases, {figures['open_forms']} with an open form"
    drawn.add_row(many, f"{figures['thousand']:.1f}", f"{figures['ratio']:.2f}")
    return drawn


def _costs(result: dict[str, Any]) -> Table:
    burst, idle = result["burst"], result["idle"]["cpu_per_hour"]
    title = f"What a case costs: {burst['cases']} at once, {burst['cases_per_minute']} a minute"
    drawn = Table("", "CPU-s per case", "CPU-s per idle hour", "MB at most", title=title)
    for name, cpu in burst["cpu_per_case"].items():
        memory = burst["peak_bytes"].get(name, sum(burst["peak_bytes"].values()))
        drawn.add_row(name, f"{cpu:.3f}", f"{idle.get(name, 0):.0f}", f"{memory / 1e6:.0f}")
    drawn.add_section()
    for name, size in burst["bytes_per_case"].items():
        drawn.add_row(f"bytes per case: {name}", f"{size}")
    alone, cold = result["alone"], result["cold_start"]
    drawn.add_row("seconds of a case alone, median", f"{alone['median']:.1f}")
    memory = f"{cold['bytes'] / 1e6:.0f}"
    drawn.add_row("cold start of a task, CPU-s", f"{cold['cpu']:.2f}", "", memory)
    return drawn


DAYS = {"10 thousand": 10**4, "1 million": 10**6, "100 million": 10**8}
"""Numbers of images a day."""
TASKS = 5
"""The number of tasks of a case."""


def _needs(result: dict[str, Any]) -> Table:
    """Return the needs of :data:`DAYS` images, spread evenly over the day."""
    burst = result["burst"]
    cpu, room = burst["cpu_per_case"], burst["bytes_per_case"]
    drawn = Table("images a day", *DAYS, title="Evenly over the day; multiply by your peak")
    rates = [count / 86400 for count in DAYS.values()]
    drawn.add_row("cases a second", *(_short(rate) for rate in rates))
    for name in ("all", "tasks", "api-server", "triggerer"):
        drawn.add_row(f"cores: {name}", *(_short(rate * cpu.get(name, 0)) for rate in rates))
    pods = TASKS * result["cold_start"]["cpu"]
    drawn.add_row("additional cores, with a pod per task", *(_short(rate * pods) for rate in rates))
    for name, size in room.items():
        sizes = (count * size / 1e9 for count in DAYS.values())
        drawn.add_row(f"GB a day: {name}", *(_short(one) for one in sizes))
    return drawn


def _short(value: float) -> str:
    """Format a number with two significant digits."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
