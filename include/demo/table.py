"""The live table of cases."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from include.demo.judge import Case

_STATE = {"success": "green", "failed": "red", "running": "cyan"}
_LABEL = {"Normal": "green", "Unsure": "yellow", "Pneumonia": "red"}
_BAR = 10
_STEPS = ("fetch", "classify", "annotate", "anonymize", "store")


def table(cases: Sequence[Case]) -> Table:
    """The cases as they stand now. The person at the demo may see the files' names."""
    ended = sum(case.ended for case in cases)
    grid = Table(title=f"{ended} of {len(cases)} cases", title_justify="left", expand=False)
    grid.add_column("file", max_width=44, no_wrap=True)
    grid.add_column("case", style="dim", no_wrap=True)
    for name in ("state", "risk", "label", "decision"):
        grid.add_column(name, no_wrap=True)
    grid.add_column("seconds", justify="right")
    for case in cases:
        grid.add_row(
            Text(case.key),
            case.case_id[:8],
            _state(case),
            _risk(case.risk),
            Text(case.label or "", _LABEL.get(case.label or "", "")),
            Text(case.decision or case.error or ""),
            f"{case.seconds:.1f}" if case.seconds is not None else "",
        )
    return grid


def _state(case: Case) -> Text:
    if case.state == "running" and case.step in _STEPS:
        done = _STEPS.index(case.step)
        return Text("●" * done + "◐" + "○" * (4 - done) + f" {case.step}", "cyan")
    return Text(case.state, _STATE.get(case.state, "dim"))


def _risk(risk: float | None) -> Text:
    if risk is None:
        return Text("")
    full = round(risk * _BAR)
    colour = "red" if risk > 0.8 else "yellow" if risk >= 0.6 else "green"
    return Text("█" * full + "░" * (_BAR - full) + f" {risk:7.2%}", colour)
