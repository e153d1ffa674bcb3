"""bench.comparison: what became slower by more than the spread"""

from __future__ import annotations

from typing import Any

import pytest

from bench.comparison import Figure, compare, slower

COST = Figure("plain.cpu.all")
SPEED = Figure("plain.per_minute", more_is_better=True)


def spread(low: float, median: float, high: float) -> dict[str, float]:
    return {"low": low, "median": median, "high": high}


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (spread(1.0, 1.1, 1.2), spread(1.2, 1.29, 1.3), False),
        (spread(1.0, 1.1, 1.2), spread(1.3, 1.35, 1.4), True),
        (spread(1.3, 1.35, 1.4), spread(1.0, 1.1, 1.2), None),
        (2.0, 2.15, False),
        (2.0, 2.3, True),
        (2.0, 1.7, None),
    ],
)
def test_only_a_change_beyond_the_spread_counts(
    before: Any, now: Any, verdict: bool | None
) -> None:
    assert slower(COST, before, now) is verdict


def test_fewer_runs_a_minute_are_slower() -> None:
    assert slower(SPEED, spread(59, 60, 61), spread(49, 50, 51)) is True
    assert slower(SPEED, spread(49, 50, 51), spread(59, 60, 61)) is None


def test_only_figures_that_both_results_have_are_compared() -> None:
    before = {"plain": {"cpu": {"all": spread(1, 1.1, 1.2)}}}
    now = {"plain": {"cpu": {"all": spread(2, 2.1, 2.2)}, "per_minute": spread(1, 2, 3)}}
    table = compare([COST, SPEED], before, now)
    assert table is not None
    assert [next(iter(column.cells)) for column in table.columns] == [
        "plain.cpu.all",
        "1.1",
        "2.1",
        "[red]slower",
    ]
    assert compare([COST], {}, now) is None
