"""xray.airflow.watch.overdue: each overdue case is told once, and many in one notice"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import Variable

from xray.airflow.watch import overdue
from xray.airflow.watch.cases import MOST_LISTED, Cases, OverdueCase
from xray.airflow.watch.overdue import Overdue

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def cases(minute: float, *queued: float, further: int = 0, started: bool = True) -> Cases:
    """The cases that are overdue after a minute, if each may take an hour."""
    listed = tuple(
        OverdueCase(run_id=f"xray__{one:g}", since=at(one), started=started) for one in queued
    )
    number = len(listed) + further
    return Cases(active=number, overdue=number, listed=listed, cutoff=at(minute - 60))


def told(watch: Overdue, found: Cases) -> list[str]:
    return [notice.run_id for notice in watch.due(found, 60)]


def test_each_case_is_told_once() -> None:
    watch = Overdue()
    assert told(watch, cases(60)) == []
    assert told(watch, cases(61, 1)) == ["xray__1"]
    assert told(watch, cases(62, 1, 2)) == ["xray__2"]
    assert told(watch, cases(600, 1, 2)) == [], "cases that are blocked for hours"


def test_a_case_that_is_run_again_is_told_again() -> None:
    watch = Overdue()
    assert told(watch, cases(61, 1)) == ["xray__1"]
    again = OverdueCase(run_id="xray__1", since=at(70), started=True)
    found = Cases(active=1, overdue=1, listed=(again,), cutoff=at(70))
    assert told(watch, found) == ["xray__1"]


def test_many_at_once_are_one_notice() -> None:
    watch = Overdue()
    many = range(overdue.MOST_NOTICES + 1)
    (notice,) = watch.due(cases(80, *many), 60)
    assert notice.run_id == ""
    assert notice.sentence == "6 cases are not through after 60 minutes."
    assert notice.facts["link"].endswith("/dags/xray_case/runs")
    assert told(watch, cases(81, *many, 21)) == ["xray__21"], "the next one by itself"


def test_more_than_are_listed_are_told_once_until_they_are_fewer() -> None:
    watch = Overdue()
    flood = cases(200, *range(MOST_LISTED), further=900)
    assert [notice.sentence for notice in watch.due(flood, 60)] == [
        "1000 cases are not through after 60 minutes."
    ]
    assert watch.due(cases(210, *range(MOST_LISTED), further=1000), 60) == []
    assert told(watch, cases(211, 1, 2, 3)) == [], "those of the flood were told"
    assert told(watch, cases(230, 1, 2, 3, 165)) == ["xray__165"]
    assert len(watch.due(flood, 60)) == 1, "the next flood"


def test_a_case_that_has_not_started_is_told_in_other_words() -> None:
    (running,) = Overdue().due(cases(61, 1), 60)
    assert running.sentence.startswith("The case is not through after 60 minutes: its run shows")
    (queued,) = Overdue().due(cases(61, 1, started=False), 60)
    assert queued.sentence.startswith("The case has not started after 60 minutes: check that")


def test_a_restart_tells_nothing_again(variables: dict[str, Any]) -> None:
    assert overdue.read_told_until() == overdue.NEVER
    watch = Overdue(overdue.read_told_until())
    assert told(watch, cases(61, 1)) == ["xray__1"]
    overdue.write_told_until(watch.told_until)
    watch = Overdue(overdue.read_told_until())
    assert told(watch, cases(70, 1, 5)) == ["xray__5"]
    variables["xray_overdue_told"] = "damaged"
    assert overdue.read_told_until() == overdue.NEVER
    variables["xray_overdue_told"] = "2026-01-01T00:00:00"
    assert overdue.read_told_until() == START


def test_a_time_that_cannot_be_kept_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(Variable, "set", refuse)
    overdue.write_told_until(START)
    assert "may be told again (RuntimeError)" in caplog.text


def test_more_minutes_tell_nothing_again() -> None:
    watch = Overdue()
    assert told(watch, cases(61, 1)) == ["xray__1"]
    assert told(watch, cases(20)) == []
    assert told(watch, cases(61, 1)) == []
