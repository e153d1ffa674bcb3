"""Where the processes of tasks spend their processor time: a sampler for forked processes.

A server that imports this module (``[core] mp_forkserver_preload``) samples each process that is
forked from it: about every millisecond of processor time, the time is counted for the stack of the
main thread. At its end, the process writes the counts to a file in the folder that the
environment's :data:`FOLDER` names. Each line has a stack, its functions separated by semicolons,
and its microseconds. A line with a number sign names a module that the process has imported.

Tasks end with ``os._exit``, after which no handler runs. Therefore that function is wrapped.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

FOLDER = "XRAY_BENCH_SAMPLES"
SECONDS = 0.001
"""Processor seconds between two samples. The kernel may take longer."""

_samples: Counter[tuple[str, ...]] = Counter()
_known: frozenset[str] = frozenset()
"""The modules that were imported before the fork."""
_exit = os._exit
_last = 0
"""The processor time of the last sample, in nanoseconds."""


def _start() -> None:
    """Start to sample this process."""
    global _last, _known
    _known = frozenset(sys.modules)
    _samples.clear()
    _last = time.process_time_ns()
    signal.signal(signal.SIGPROF, _take)
    signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS)


def _take(_signal: int, frame: FrameType | None) -> None:
    """Count the microseconds since the last sample: a call of native code defers the signal."""
    global _last
    now = time.process_time_ns()
    stack = []
    while frame:
        code = frame.f_code
        stack.append(f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}")
        frame = frame.f_back
    _samples[tuple(reversed(stack))] += (now - _last) // 1000
    _last = now


def _write_and_exit(status: int) -> NoReturn:
    signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time()
    task = os.environ.get("AIRFLOW_CTX_TASK_ID", "")
    lines = [f"{';'.join(stack)} {count}\n" for stack, count in _samples.items()]
    lines += [f"# {name}\n" for name in sys.modules if name not in _known]
    Path(os.environ[FOLDER], f"{os.getpid()}~{task}~{seconds:.4f}").write_text("".join(lines))
    _exit(status)


def _install() -> None:
    replaced: Any = _write_and_exit
    os._exit = replaced
    os.register_at_fork(after_in_child=_start)


def empty(folder: Path) -> None:
    """Make an empty folder for samples."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def finished(folder: Path, function: str) -> dict[str, list[Path]]:
    """Return the files of the processes that have run a function, by the id of their task."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(folder.iterdir()):
        if function in file.read_text():
            found[file.name.split("~")[1]].append(file)
    return found


def imported(file: Path) -> list[str]:
    """Return the modules that the process has imported, in order."""
    lines = file.read_text().splitlines()
    return [line.removeprefix("# ") for line in lines if line.startswith("# ")]


def seconds(file: Path) -> float:
    """Return the processor seconds of the process that has written a file."""
    return float(file.name.split("~")[2])


if FOLDER in os.environ:
    _install()
