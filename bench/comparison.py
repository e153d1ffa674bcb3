"""A new result beside the recorded one: what became slower by more than the spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

_TOLERANCE = 0.1
"""The spread that is assumed for a figure without one, as a part of the figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a part that is compared with the recorded one."""

    path: str
    """The names that lead to it in the part's result, with dots between them."""
    more_is_better: bool = False


def slower(figure: Figure, before: Any, now: Any) -> bool | None:
    """Return whether a figure became worse by more than the spread; None if it became better.

    The spread is that of the rounds of both results, from the lowest to the highest value, the
    wider of the two.
    """
    spread = max(_spread(before), _spread(now))
    change = _median(now) - _median(before)
    if figure.more_is_better:
        change = -change
    if change > spread:
        return True
    return None if change < -spread else False


def compare(
    figures: Sequence[Figure], before: Mapping[str, Any], now: Mapping[str, Any]
) -> Table | None:
    """Return a table of the figures that both results have; None if there are none."""
    drawn = Table("", "recorded", "now", "", title="Beside the recorded figures")
    words = {True: "[red]slower", False: "the same, within the spread", None: "[green]faster"}
    for figure in figures:
        pair = find(before, figure.path), find(now, figure.path)
        if None not in pair:
            verdict = words[slower(figure, *pair)]
            drawn.add_row(figure.path, *(f"{_median(one):.3g}" for one in pair), verdict)
    return drawn if drawn.row_count else None


def find(result: Mapping[str, Any], path: str) -> Any:
    """Return what is at a path in a result; None if there is nothing."""
    found: Any = result
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _median(value: Any) -> float:
    return float(value["median"] if isinstance(value, Mapping) else value)


def _spread(value: Any) -> float:
    if isinstance(value, Mapping):
        return float(value["high"] - value["low"])
    return abs(float(value)) * _TOLERANCE
