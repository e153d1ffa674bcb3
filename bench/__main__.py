"""The benchmarks: ``make bench [PART=…]``, or ``python -m bench [PART] [options]``.

Each part measures on this machine, prints a table, and writes its figures to ``bench/results.json``
under its name. The figures of the other parts stay. A run with other numbers than the usual ones is
only printed. A part that names the figures to compare is printed beside the recorded result, with
what became slower by more than the spread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import cases, cases_page, model, notifications, profile, redaction, settings, waiting
from bench.comparison import compare
from include.servers.processes import StartError

PARTS: dict[str, Any] = {
    "cases": cases,
    "cases_page": cases_page,
    "model": model,
    "notifications": notifications,
    "profile": profile,
    "redaction": redaction,
    "settings": settings,
    "waiting": waiting,
}
"""The modules of the parts, with ``add_options(parser)``, ``run(options, console)`` and
``table(result)``, and perhaps ``FIGURES``."""
WIDTH = 160
"""Columns of the output that is not a terminal."""
RESULTS = Path(__file__).with_name("results.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if every part was measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = _console()
    for name in [options.part] if options.part else PARTS:
        try:
            result = PARTS[name].run(options, console)
        except StartError as error:
            console.print(f"[red]{error}")
            return 1
        partial = result.pop("partial", False)
        before = _results().get(name, {})
        if not partial:
            _keep(name, result)
        console.print(PARTS[name].table(result))
        if beside := compare(getattr(PARTS[name], "FIGURES", ()), before, result):
            console.print(beside)
        if not partial:
            console.print(f"The figures are in {RESULTS.parent.name}/{RESULTS.name}.")
    return 0


def _console() -> Console:
    """Return a console on which no table is cut, also if the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=max(console.width, WIDTH))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Run the benchmarks on this machine: one part, or all of them.",
    )
    parser.add_argument("part", nargs="?", choices=sorted(PARTS))
    for name, part in PARTS.items():
        part.add_options(parser.add_argument_group(name))
    return parser.parse_args(arguments)


def _keep(name: str, result: dict[str, Any]) -> None:
    """Write the result of a part, with the machine's description, to the results of all parts."""
    results = _results()
    results[name] = {"machine": _machine(), **result}
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")


def _results() -> dict[str, Any]:
    """Return the recorded results of all parts."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def _machine() -> dict[str, Any]:
    return {
        "airflow": version("apache-airflow"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
