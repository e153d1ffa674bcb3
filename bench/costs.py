"""The processor seconds and the memory of the components of a stack.

The processor seconds of a component are those of its processes and of their ended children. The
memory of a component is the proportional set size of its processes (shared pages are divided by the
number of processes that share them): the maximum of one sample a second.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

SERVERS = {"java": "kafka", "versitygw": "versitygw"}
"""The names of programs that the stack does not start itself, and their components."""
IDLE_SECONDS = 120.0
"""How long the idle stack is measured: the DAG files are read again once in that time."""
SAMPLE_SECONDS = 1.0
"""Seconds between two samples of the memory."""

Seconds = Counter[str]
"""Processor seconds of each component."""


class Costs:
    """What the processes that this program has started cost.

    Args:
        names: the component of each child, by its process id.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names

    def cpu(self) -> Seconds:
        """Return the processor seconds of each component since its start."""
        found: Seconds = Counter()
        for process, name in self._processes():
            with suppress(psutil.Error):
                found[name] += sum(process.cpu_times()[:4])  # type: ignore[assignment]
        return found

    def idle(self) -> Seconds:
        """Measure the cores that each component uses for :data:`IDLE_SECONDS`."""
        before, began = self.cpu(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        return scaled(self.cpu() - before, 1 / (time.monotonic() - began))

    @contextmanager
    def peaks(self) -> Iterator[dict[str, int]]:
        """Collect the largest memory of each component, in bytes, until the end of the context."""
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

    def _processes(self) -> Iterator[tuple[psutil.Process, str]]:
        """Yield each process with the component that it belongs to.

        The children of the scheduler run tasks, so they are a component of their own.
        """
        for root in psutil.Process().children():
            with suppress(psutil.Error):
                server = (SERVERS[word] for word in SERVERS if word in root.name())
                name = self._names.get(root.pid) or next(server, "the bench")
                yield root, name
                below = "tasks" if name == "scheduler" else name
                yield from ((process, below) for process in root.children(recursive=True))


def _memory(process: psutil.Process) -> int:
    """Return the proportional set size in bytes; 0 for a process that has ended."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0


def scaled(seconds: Seconds, factor: float) -> Seconds:
    """Return the processor seconds times ``factor``."""
    return Counter({name: value * factor for name, value in seconds.items()})  # type: ignore[misc]


def above(cost: Seconds, idle: Seconds) -> Seconds:
    """Return the cost above the idle cost, and at least 0, of each component."""
    return Counter({name: max(0, value - idle[name]) for name, value in cost.items()})


def of_airflow(seconds: Seconds) -> float:
    """Return the sum of Airflow's components and of its database."""
    return sum(value for name, value in seconds.items() if name not in SERVERS.values())


def with_sum(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the values of the components, rounded, and their sum as ``all``."""
    found = {name: round(value, 3) for name, value in sorted(seconds.items())}
    return {**found, "all": round(sum(seconds.values()), 3)}
