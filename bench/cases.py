"""What a case costs: processor, memory, time and room, in the whole stack with its servers.

One stack of Apache Kafka, versitygw, PostgreSQL and Airflow takes the demo's images, again and
again under new keys:

``idle``
    Nothing happens for a while: what the stack costs between cases.
``alone``
    One case after the other: how long one takes, from its upload to its end.
``burst``
    All at once: processor seconds of each component, and room in the database, the logs and
    the audit trail, by the number of cases.

Processor seconds are counted, not the clock: of every process that was started here, its own and
those of the children that it has waited for; the burst's are what comes on top of idleness. So
another program on the machine lengthens the time and hardly the cost. Memory is the proportional
set size (each page by the number of processes that share it) of a component's processes, the
largest of a look every second.

``cold_start`` is what a task pays that finds no warm worker, as each pod of the KubernetesExecutor
does: a fresh interpreter that imports what a warm one has imported already.
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
"""What is in the command of what the stack does not start itself."""
LOOK = 1.0
"""Seconds between two looks at the memory."""
PATIENCE, PATIENCE_PER_CASE = 120.0, 30.0
"""Seconds after which cases that have not ended never will."""
SETTINGS = {"anonymize": "always"}
"""The longest way that a case can take."""


def add_options(parser: Any) -> None:
    """The options of this part."""
    parser.add_argument("--alone", type=int, default=3, help="cases, one after the other")
    parser.add_argument("--cases", type=int, default=32, help="cases at once")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure."""
    shutil.rmtree(WORK, ignore_errors=True)
    console.print("Starting Apache Kafka, versitygw and Airflow …")
    with Kafka(WORK / "kafka") as kafka:
        for topic in (TOPIC, DEAD_LETTER_TOPIC):
            kafka.create_topic(topic)
        with (
            Versitygw(WORK / "s3", brokers=kafka.brokers, topic=TOPIC) as gateway,
            _stack(kafka, gateway) as stack,
            stack.api() as api,
        ):
            bench = Bench(stack, api)
            bench.cases("warm", 4)
            return {
                "idle": bench.idle(),
                "alone": bench.alone(options.alone),
                "burst": bench.burst(options.cases),
                "cold_start": cold_start(),
            }


def _stack(kafka: Kafka, gateway: Versitygw) -> Stack:
    return Stack(
        home=WORK / "airflow",
        kafka=kafka.client,
        store=(gateway.endpoint, gateway.access_key, gateway.secret_key),
        settings=SETTINGS,
    )


class Bench:
    """A running stack that is measured."""

    def __init__(self, stack: Stack, api: Api) -> None:
        self._stack, self._api = stack, api
        self._idle: Counter[str] = Counter()
        """Processor seconds a second."""
        self._ended: tuple[Counter[str], float] = (Counter(), 0.0)
        """Processor seconds, and the time, when the last cases had ended."""

    def cases(self, name: str, count: int) -> list[Case]:
        """Let so many cases run; each must come out right."""
        settings = Settings.from_mapping(SETTINGS)
        images = expected_results(demo.IMAGES, Settings())
        wanted = [
            replace(images[n % len(images)], key=f"{name}/{n}/{images[n % len(images)].key}")
            for n in range(count)
        ]
        begun = len(self._trail())
        uploaded = demo.upload(self._stack, wanted)
        # The audit trail is asked, as asking Airflow's API would cost what is measured.
        wait_until(
            lambda: len(self._trail()) == begun + count,
            f"The end of {count} cases",
            seconds=PATIENCE + count * PATIENCE_PER_CASE,
            children=self._stack.children,
        )
        self._ended = self._processor(), time.monotonic()
        cases = demo.watch(self._stack, self._api, uploaded)
        store = ObjectStore(self._stack.s3)
        if wrong := [case.key for case in cases if verify_case(case, store, settings)]:
            raise StartError(f"{len(wrong)} of {count} cases did not come out right.")
        return cases

    def _trail(self) -> list[ListedObject]:
        return list(ObjectStore(self._stack.s3).list(Buckets(BUCKET).audit))

    def idle(self) -> dict[str, Any]:
        """What the stack costs while nothing happens."""
        before, began = self._processor(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        cost = self._processor() - before
        self._idle = _times(cost, 1 / (time.monotonic() - began))
        return {"cpu_per_hour": _by(self._idle, 1 / 3600)}

    def alone(self, count: int) -> dict[str, float]:
        """How long a case takes that has the stack for itself."""
        seconds = sorted(float(self.cases(f"alone{n}", 1)[0].seconds or 0) for n in range(count))
        return {"cases": count, "median": statistics.median(seconds), "longest": seconds[-1]}

    def burst(self, count: int) -> dict[str, Any]:
        """What a case costs among many."""
        before, room, began = self._processor(), self._room(), time.monotonic()
        with self._peaks() as peaks:
            self.cases("burst", count)
        (spent, ended), after = self._ended, self._room()
        seconds = ended - began
        return {
            "cases": count,
            "cases_per_minute": round(60 * count / seconds, 1),
            "cpu_per_case": _by(_above(spent - before, _times(self._idle, seconds)), count),
            "bytes_per_case": {name: round((after[name] - room[name]) / count) for name in room},
            "peak_bytes": dict(peaks),
        }

    def _processor(self) -> Counter[str]:
        """Processor seconds so far, of each component."""
        found: Counter[str] = Counter()
        for process, name in self._processes():
            with suppress(psutil.Error):
                found[name] += sum(process.cpu_times()[:4])  # type: ignore[assignment]
        return found

    def _processes(self) -> Iterator[tuple[psutil.Process, str]]:
        """All that was started here, each with the component that it belongs to.

        What the scheduler has started runs tasks.
        """
        names = {child.process.pid: child.name for child in self._stack.children}
        for root in psutil.Process().children():
            with suppress(psutil.Error):
                server = (SERVERS[word] for word in SERVERS if word in root.name())
                name = names.get(root.pid) or next(server, "the bench")
                yield root, name
                below = "tasks" if name == "scheduler" else name
                yield from ((process, below) for process in root.children(recursive=True))

    def _room(self) -> dict[str, int]:
        """Bytes in the database, in the logs of tasks and in the audit bucket."""
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
        """The largest memory of each component until the end."""
        peaks: dict[str, int] = defaultdict(int)
        over = threading.Event()

        def look() -> None:
            while not over.wait(LOOK):
                sizes: Counter[str] = Counter()
                for process, name in self._processes():
                    sizes[name] += _memory(process)
                for name, size in sizes.items():
                    peaks[name] = max(peaks[name], size)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield peaks
        finally:
            over.set()
            thread.join()


def cold_start() -> dict[str, float]:
    """Processor seconds and bytes of a fresh interpreter that imports what a task needs."""
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
    """Proportional set size, in bytes; 0 for a process that has ended since."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def _times(seconds: Counter[str], factor: float) -> Counter[str]:
    return Counter({name: value * factor for name, value in seconds.items()})  # type: ignore[misc]


def _above(cost: Counter[str], idle: Counter[str]) -> Counter[str]:
    """What a cost is above that of idleness; 0 of a component that is never idle."""
    return Counter({n: max(0, value - idle[n]) for n, value in cost.items()})


def _by(seconds: Counter[str], count: float) -> dict[str, float]:
    """Processor seconds of each component, by a count; and of all."""
    found = {name: round(value / count, 3) for name, value in sorted(seconds.items())}
    return {**found, "all": round(sum(seconds.values()) / count, 3)}


def table(result: dict[str, Any]) -> Group:
    """What a case costs, and what so many a day do."""
    return Group(_costs(result), _sums(result))


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
"""Images a day."""
TASKS = 5
"""Of a case."""


def _sums(result: dict[str, Any]) -> Table:
    """What so many images a day take, evenly over the day."""
    burst = result["burst"]
    cpu, room = burst["cpu_per_case"], burst["bytes_per_case"]
    drawn = Table("images a day", *DAYS, title="Evenly over the day; times your peak")
    rates = [count / 86400 for count in DAYS.values()]
    drawn.add_row("cases a second", *(_short(rate) for rate in rates))
    for name in ("all", "tasks", "api-server", "triggerer"):
        drawn.add_row(f"cores: {name}", *(_short(rate * cpu.get(name, 0)) for rate in rates))
    pods = TASKS * result["cold_start"]["cpu"]
    drawn.add_row("cores more, with a pod a task", *(_short(rate * pods) for rate in rates))
    for name, size in room.items():
        sizes = (count * size / 1e9 for count in DAYS.values())
        drawn.add_row(f"GB a day: {name}", *(_short(one) for one in sizes))
    return drawn


def _short(value: float) -> str:
    """Two digits that tell something."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
