"""Where the processor time of a case's tasks goes: a table, and a flame graph of one task.

Plain and anonymised cases run in the stack of ``bench/cases.py``, in processes that
:mod:`bench.sampling` samples. The table has, for each task, the processor seconds of its process
after the fork, divided among the parts that the stacks show. The sampler costs a few per cent.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import flames, sampling
from bench.stack import WORK, running_stack
from bench.ways import Images, ways_of_airflow
from include.demo.stack import ROOT, shared_settings

PICTURE = ROOT / "docs" / "pictures" / "flame.svg"
TASK = "classify"
"""The task of the flame graph."""
RUNS = 8
TASK_MAIN = "airflow.sdk.execution_time.task_runner.main"
PARTS = {
    "the step itself": ("xray.case.steps.", "xray.case.publish.store"),
    "connections and settings": ("xray.airflow.case.tasks._work", "xray.airflow.config."),
    "metrics, notices, notes": (
        "xray.airflow.case.metrics.",
        "xray.airflow.case.told.",
        "xray.airflow.api.",
        "xray.airflow.blocked.",
    ),
    "reading the DAG file": ("airflow.sdk.execution_time.task_runner.parse",),
}
"""The parts of a task, by the beginnings of the names of their functions. The first one that is on
a stack counts; the rest of the process is Airflow's."""
REST = "Airflow"


def add_options(parser: Any) -> None:
    """Add the options of this part."""
    parser.add_argument("--runs", type=int, default=RUNS, help="sampled runs of each way")


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Sample the tasks, and return the processor seconds of each task by its parts."""
    preload = "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD"
    folder = WORK.with_name("samples")
    settings = {
        preload: f"{shared_settings('airflow.env')[preload]},{sampling.__name__}",
        sampling.FOLDER: str(folder),
    }
    sampling.empty(folder)
    result: dict[str, Any] = {}
    partial = options.runs != RUNS
    with running_stack(console, settings) as (stack, api, _):
        for way in ways_of_airflow(stack, api, Images(stack)):
            way.check(way.prepare("warm", 4)())
            sampling.empty(folder)
            way.check(way.prepare("sampled", options.runs)())
            files = sampling.finished(folder, TASK_MAIN)
            result[way.name] = {task: _parts(found) for task, found in sorted(files.items())}
            for task, found in files.items():
                names = sampling.imported(found[0])
                console.print(f"{way.name}: {task} imports {len(names)} modules: {names[:12]}")
            if way.name == "plain" and not partial:
                _draw(files[TASK])
    return {**result, "partial": partial}


def _draw(files: list[Path]) -> None:
    """Draw the flame graph of a task."""
    stacks = flames.inside(flames.read(files), TASK_MAIN)
    seconds = statistics.mean(sampling.seconds(file) for file in files)
    title = f"{TASK}: {seconds:.2f} CPU-s a task, the mean of {len(files)}"
    PICTURE.write_text(flames.draw(stacks, title))


def _parts(files: list[Path]) -> dict[str, float]:
    """Return the processor seconds of a task by its parts, and ``all``."""
    stacks = flames.read(files)
    counts: Counter[str] = Counter()
    for stack, count in stacks.items():
        counts[_part(stack)] += count
    seconds = statistics.mean(sampling.seconds(file) for file in files)
    total = max(1, counts.total())
    found = {part: round(seconds * counts[part] / total, 3) for part in (*PARTS, REST)}
    return {**found, "all": round(seconds, 3)}


def _part(stack: tuple[str, ...]) -> str:
    for part, beginnings in PARTS.items():
        if any(function.startswith(beginnings) for function in stack):
            return part
    return REST


def table(result: dict[str, Any]) -> Table:
    """Return the table of the tasks and their parts."""
    drawn = Table("CPU-s a task", *PARTS, REST, "all")
    for way in ("empty", "plain", "anonymised"):
        drawn.add_section()
        for task, parts in result[way].items():
            drawn.add_row(
                f"{way}: {task}", *(f"{parts[part]:.3f}" for part in (*PARTS, REST, "all"))
            )
        sums: dict[str, float] = defaultdict(float)
        for parts in result[way].values():
            for part, seconds in parts.items():
                sums[part] += seconds
        drawn.add_row(f"{way}: all", *(f"{sums[part]:.3f}" for part in (*PARTS, REST, "all")))
    return drawn
