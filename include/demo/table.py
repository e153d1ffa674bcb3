"""The live table of cases."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from include.demo.verification import Case

_STATE = {"success": "green", "failed": "red", "running": "cyan"}
_LABEL = {"Normal": "green", "Unsure": "yellow", "Pneumonia": "red"}
_BAR = 10
_WIDE = 120
"""Columns of a terminal that is wide enough for all fields."""
_STEPS = ("fetch", "classify", "annotate", "anonymize", "store")


def case_table(cases: Sequence[Case], width: int) -> Table:
    """Return a table of the cases in their present state, ``width`` columns wide.

    It shows the names of the files, because the user of the demo supplied them.
    """
    ended = sum(case.ended for case in cases)
    wide = width >= _WIDE
    grid = Table(
        title=f"{ended} of {len(cases)} cases",
        title_justify="left",
        width=min(width, 2 * _WIDE),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    grid.add_column("file", no_wrap=True, ratio=3)
    if wide:
        grid.add_column("case", style="dim", no_wrap=True, width=8)
    for name, room in (("state", 15), ("risk", 18 if wide else 7), ("label", 9)):
        grid.add_column(name, no_wrap=True, width=room)
    grid.add_column("decision", no_wrap=True, ratio=2)
    grid.add_column("sec", justify="right", no_wrap=True, width=5)
    for case in cases:
        cells = [
            Text(case.key),
            case.case_id[:8],
            _state(case),
            _risk(case.risk, wide=wide),
            Text(case.label or "", _LABEL.get(case.label or "", "")),
            Text(case.decision or case.error or ""),
            f"{case.seconds:.1f}" if case.seconds is not None else "",
        ]
        grid.add_row(*(cells if wide else cells[:1] + cells[2:]))
    return grid


def _state(case: Case) -> Text:
    if case.state == "running" and case.step in _STEPS:
        done = _STEPS.index(case.step)
        return Text("●" * done + "◐" + "○" * (4 - done) + f" {case.step}", "cyan")
    return Text(case.state, _STATE.get(case.state, "dim"))


def _risk(risk: float | None, *, wide: bool) -> Text:
    if risk is None:
        return Text("")
    full = round(risk * _BAR)
    colour = "red" if risk > 0.8 else "yellow" if risk >= 0.6 else "green"
    bar = "█" * full + "░" * (_BAR - full) + " " if wide else ""
    return Text(f"{bar}{risk:7.2%}", colour)
