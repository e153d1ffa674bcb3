"""xray.airflow.listener.report: gauges of several sensors and of revoked partitions"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from airflow.observability.stats import Stats

from xray.airflow.listener import report
from xray.airflow.listener.partitions import Lag
from xray.airflow.listener.report import Report

PREFIX = "xray.notifications."


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The last value of each gauge."""
    found: dict[str, float] = {}
    monkeypatch.setattr(
        Stats, "gauge", lambda name, value: found.update({name.removeprefix(PREFIX): value})
    )
    return found


def test_sensors_of_one_process_have_gauges_of_their_own(gauges: dict[str, float]) -> None:
    for sensor, seconds, unknown in (("listen_1", 7, 2), ("listen_2", 0, 0)):
        one = Report(sensor)
        one.state(stalled=seconds, blocked=seconds, paused=False)
        one.lag(Lag({}, unknown))
    assert gauges["stalled.listen_1"] == gauges["blocked.listen_1"] == 7
    assert gauges["stalled.listen_2"] == gauges["blocked.listen_2"] == 0
    assert (gauges["lag_unknown.listen_1"], gauges["lag_unknown.listen_2"]) == (2, 0)
    assert "lag" not in gauges, "each sensor would overwrite the sum of the other"


def test_a_lag_that_is_not_known_is_not_zero(gauges: dict[str, float]) -> None:
    one = Report("listen_1")
    one.lag(Lag({0: 5}, 0))
    one.lag(Lag({}, 1))
    assert gauges["lag.partition_0"] == 5
    assert gauges["lag_unknown.listen_1"] == 1
    one.lag_is_unknown()
    assert gauges["lag_unknown.listen_1"] == 1


def test_the_gauge_of_a_revoked_partition_does_not_stay(gauges: dict[str, float]) -> None:
    one = Report("listen_1")
    assert one.measure_is_due(frozenset({0, 1}))
    one.lag(Lag({0: 5, 1: 6}, 0))
    assert not one.measure_is_due(frozenset({0, 1}))
    assert one.measure_is_due(frozenset({1})), "at once"
    assert gauges["lag.partition_0"] == 0
    assert gauges["lag.partition_1"] == 6
    one.end()
    assert gauges["lag.partition_1"] == 0


def test_a_heartbeat_is_sent_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    counters: Counter[str] = Counter()
    now = [100.0]
    monkeypatch.setattr(Stats, "incr", lambda name, count: counters.update({name: count}))
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    one = Report("listen_1")
    for _ in range(100):
        one.state(stalled=0, blocked=0, paused=True)
        now[0] += 0.5
    assert counters == {PREFIX + "heartbeat": 10}


def test_a_line_a_minute_sums_up_what_was_done(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now, sent = [100.0], Counter[Any]()
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Stats, "incr", lambda name, count: sent.update({name: count}))
    caplog.set_level("INFO", "xray")
    one = Report("listen_1")
    for _ in range(600):
        one.counts.update(received=1, started=1)
        one.send_counts(3)
        now[0] += 0.25
    one.end()
    assert sent[PREFIX + "started"] == 600
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in lines] == ["1", "240", "240", "119"]
    assert "3 messages in progress" in lines[1]
