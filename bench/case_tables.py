"""The tables that ``make bench PART=cases`` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.table import Table

WAYS = ("empty", "plain", "anonymised", "original")
DAYS = {"10 thousand": 10**4, "1 million": 10**6, "100 million": 10**8}
"""Numbers of images a day."""
TASKS = 5
"""The number of tasks of a case."""


def table(result: dict[str, Any]) -> Group:
    """Return the tables of the ways, the ratios, the idle stack, and many cases a day."""
    return Group(_ways(result), _ratios(result), _components(result), _needs(result))


def _ways(result: dict[str, Any]) -> Table:
    drawn = Table("", *WAYS, title="Side by side: median (lowest to highest)")
    found = [result[name] for name in WAYS]
    drawn.add_row("runs a minute in a burst", *(_spread(one["per_minute"]) for one in found))
    drawn.add_row("CPU-s a run", *(_spread(one["cpu"]["all"]) for one in found))
    alone = [one["alone"] for one in found]
    drawn.add_row("seconds alone, median", *(f"{one['p50']:.2f}" for one in alone))
    drawn.add_row("seconds alone, 95 %", *(f"{one['p95']:.2f}" for one in alone))
    memory = (sum(one["peak_bytes"].values()) / 1e6 for one in found)
    drawn.add_row("MB of all components at most", *(f"{one:,.0f}" for one in memory))
    return drawn


def _ratios(result: dict[str, Any]) -> Table:
    drawn = Table("ratio", "median (lowest to highest)")
    for name, value in result["ratio"].items():
        drawn.add_row(name, _spread(value))
    drawn.add_row("idle cores", f"{result['idle']['cores']['airflow']:.2f}")
    drawn.add_row("seconds to start", f"{result['start']['seconds']:.0f}")
    return drawn


def _components(result: dict[str, Any]) -> Table:
    drawn = Table("CPU-s a run", *WAYS, "idle cores")
    idle = result["idle"]["cores"]
    for name in idle:
        if name not in ("all", "airflow", "the bench"):
            costs = (result[way]["cpu"].get(name, {"median": 0})["median"] for way in WAYS)
            drawn.add_row(name, *(f"{one:.3f}" for one in costs), f"{idle[name]:.3f}")
    cold = result["cold_start"]
    drawn.caption = f"Cold start of a task: {cold['cpu']:.2f} CPU-s, {cold['bytes'] / 1e6:.0f} MB"
    return drawn


def _needs(result: dict[str, Any]) -> Table:
    """Return the needs of :data:`DAYS` anonymised images, spread evenly over the day."""
    way = result["anonymised"]
    drawn = Table("images a day", *DAYS, title="Evenly over the day; multiply by your peak")
    rates = [count / 86400 for count in DAYS.values()]
    drawn.add_row("cases a second", *(_short(rate) for rate in rates))
    for name in ("all", "tasks", "api-server", "triggerer"):
        cpu = way["cpu"].get(name, {"median": 0})["median"]
        drawn.add_row(f"cores: {name}", *(_short(rate * cpu) for rate in rates))
    pods = TASKS * result["cold_start"]["cpu"]
    drawn.add_row("additional cores, with a pod per task", *(_short(rate * pods) for rate in rates))
    for name, size in way["bytes"].items():
        sizes = (count * size / 1e9 for count in DAYS.values())
        drawn.add_row(f"GB a day: {name}", *(_short(one) for one in sizes))
    return drawn


def _spread(value: dict[str, float]) -> str:
    return f"{_short(value['median'])} ({_short(value['low'])} to {_short(value['high'])})"


def _short(value: float) -> str:
    """Format a number with three significant digits at most."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
