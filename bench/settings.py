"""What each setting in ``config/airflow.env`` buys: a stack with all of them, and one without each.

For each stack, runs whose tasks do nothing start one after the other, and then at once. A case
of this package would hide the differences behind its own work.

``idle``
    The cores that Airflow and its database use without runs.
``alone``
    The seconds of a run that has the stack to itself, median.
``per_minute``, ``cpu``
    Runs a minute and CPU-seconds a run, of runs at once.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.costs import Costs, above, of_airflow, scaled, with_sum
from bench.stack import running_stack
from bench.ways import EmptyRuns

STOCK = "airflow.executors.local_executor.LocalExecutor"
WITHOUT = {
    "all settings": {},
    "Airflow's LocalExecutor": {"AIRFLOW__CORE__EXECUTOR": STOCK},
    "Airflow's LocalExecutor, SCHEDULER_IDLE_SLEEP_TIME=0.25": {
        "AIRFLOW__CORE__EXECUTOR": STOCK,
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
    },
    "Airflow's LocalExecutor, SCHEDULER_IDLE_SLEEP_TIME=1 (default)": {
        "AIRFLOW__CORE__EXECUTOR": STOCK,
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    },
    "MIN_FILE_PROCESS_INTERVAL=30 (default)": {
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30"
    },
    "MIN_HEARTBEAT_INTERVAL=5 (default)": {"AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5"},
    "MP_START_METHOD=fork (default), no preload": {
        "AIRFLOW__SCHEDULER__MP_START_METHOD": "fork",
        "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD": "",
    },
}
"""The name of each stack, and the settings that differ."""
ALONE, BURST = 8, 24


def add_options(parser: Any) -> None:
    """Add the options of this part: it has none."""


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure all stacks, and return their figures."""
    return {name: _measured(changed, console) for name, changed in WITHOUT.items()}


def _measured(changed: dict[str, str], console: Console) -> dict[str, float]:
    with running_stack(console, changed) as (stack, api, _):
        costs = Costs({child.process.pid: child.name for child in stack.children})
        way = EmptyRuns("empty", stack, api)
        way.prepare("warm", 4)()
        idle = costs.idle()
        alone = [way.prepare(f"alone{one}", 1)().seconds[0] for one in range(ALONE)]
        before = costs.cpu()
        spell = way.prepare("burst", BURST)()
        spent = above(costs.cpu() - before, scaled(idle, spell.span))
        return {
            "idle": round(of_airflow(idle), 3),
            "alone": round(statistics.median(alone), 2),
            "per_minute": round(60 * BURST / spell.span, 1),
            "cpu": with_sum(scaled(spent, 1 / BURST))["all"],
        }


def table(result: dict[str, Any]) -> Table:
    """Return the table of all stacks."""
    drawn = Table("", "idle cores", "seconds alone", "runs a minute", "CPU-s a run")
    for name in WITHOUT:
        found = result[name]
        figures = (found["idle"], found["alone"], found["per_minute"], found["cpu"])
        drawn.add_row(name, *(f"{one:g}" for one in figures))
    return drawn
