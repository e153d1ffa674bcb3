"""bench.index_rows: cases that look like those of a hospital"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from bench.index_rows import CHANGED, DAYS, MODEL, OLD_MODEL, RARE, RARE_MODEL, make_rows
from xray.airflow.index.table import CASES, State
from xray.case import Decision
from xray.settings import Settings

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize("number", [1_000, 8_000])
def test_the_share_of_each_value_is_the_same_for_any_number(number: int) -> None:
    rows = make_rows(number, NOW)
    assert len({row["case_id"] for row in rows}) == len({r["run_id"] for r in rows}) == number
    states = Counter(row["state"] for row in rows)
    assert states["running"] == number // 1000
    assert states["waiting"] == states["failed"] == number // 100
    ages = [NOW - row["received"] for row in rows]
    assert ages == sorted(ages)
    assert sum(age < timedelta(days=1) for age in ages) == number * 25 // 1000
    assert max(ages) <= timedelta(days=DAYS)
    for name, value in (("model", RARE_MODEL), ("origin", "manual")):
        assert sum(row[name] == value for row in rows) == RARE
    labels = Counter(row["label"] for row in rows)
    assert 0.55 < labels["Normal"] / number < 0.65
    assert labels["Pneumonia"] > labels["Unsure"] > labels[None] > 0


def test_the_values_of_a_row_fit_each_other() -> None:
    settings, decisions = Settings(), Counter[str]()
    for row in make_rows(8_000, NOW):
        assert set(row) == {column.name for column in CASES.columns}
        finished = row["state"] == State.FINISHED
        assert (row["decision"] is not None) == finished
        assert (row["ended"] is None) == (row["state"] == State.RUNNING)
        if row["decision"] == Decision.DELETED:
            assert row["object"] is row["label"] is None
            assert row["replaced"]
        if row["risk"] is not None:
            assert settings.label(row["risk"]) == row["label"]
        former = NOW - row["received"] > timedelta(days=CHANGED)
        assert row["model"] in ({OLD_MODEL, RARE_MODEL, None} if former else {MODEL, None})
        assert former or row["decision"] != Decision.PUBLISHED
        waits = {"waiting": {"review"}, "finished": {None, "release"}}.get(row["state"], {None})
        assert row["waits"] in waits
        decisions[row["decision"] or ""] += 1
    assert all(decisions[one] for one in Decision)


def test_the_same_arguments_give_the_same_cases() -> None:
    assert make_rows(1_000, NOW) == make_rows(1_000, NOW)
