"""xray.airflow.listener.gaps"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from xray.airflow.listener.gaps import MARGIN, Gap, Positions
from xray.notification import Partition

PARTITION = Partition("storage", 3)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def minutes(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def test_the_run_is_the_same_whenever_the_gap_is_found() -> None:
    gap = Gap(PARTITION, 10, 25, NOON, minutes(90))
    assert gap.count == 15
    assert gap.run_id == "xray_lost__storage.3.10-25"
    assert gap.run_id == Gap(PARTITION, 10, 25, None, minutes(91)).run_id
    assert gap.conf == {"since": (NOON - MARGIN).isoformat(), "until": minutes(90).isoformat()}
    assert "15 messages of partition 3" in str(gap)
    assert "offsets 10 to 24" in str(gap)


def test_without_a_beginning_the_dag_decides() -> None:
    assert Gap(PARTITION, 0, 1, None, NOON).conf["since"] is None


def test_an_offset_is_committed_with_the_time_of_the_message_before_it() -> None:
    positions = Positions()
    positions.begin(PARTITION, 5, NOON.isoformat())
    assert positions.metadata(PARTITION, 5) == NOON.isoformat()
    for offset in (5, 6, 8):
        positions.read(PARTITION, offset, minutes(offset))
    assert positions.next_offset(PARTITION) == 9
    assert positions.metadata(PARTITION, 6) == minutes(5).isoformat()
    assert positions.metadata(PARTITION, 9) == minutes(8).isoformat()
    assert positions.time(PARTITION) == minutes(8)


def test_a_clock_that_is_ahead_hides_no_lost_message() -> None:
    positions = Positions()
    positions.begin(PARTITION, 0, None)
    positions.read(PARTITION, 0, datetime.now(UTC) + timedelta(days=1))
    assert positions.time(PARTITION) <= datetime.now(UTC)  # type: ignore[operator]


@pytest.mark.parametrize("metadata", [None, "", "consumer-1", "2026-01-02T12:00:00"])
def test_foreign_metadata_is_no_time(metadata: str | None) -> None:
    positions = Positions()
    positions.begin(PARTITION, 5, metadata)
    assert positions.time(PARTITION) is None
    assert positions.metadata(PARTITION, 5) == ""


def test_a_topic_that_was_created_again_begins_anew() -> None:
    positions = Positions()
    positions.begin(PARTITION, 100, None)
    positions.read(PARTITION, 100, minutes(1))
    positions.read(PARTITION, 0, minutes(2))
    assert positions.next_offset(PARTITION) == 1
    assert positions.metadata(PARTITION, 1) == minutes(2).isoformat()


def test_a_partition_that_another_member_has_is_forgotten() -> None:
    positions = Positions()
    positions.begin(PARTITION, 100, None)
    positions.forget(PARTITION)
    assert positions.next_offset(PARTITION) is None
    assert positions.metadata(PARTITION, 101) == ""
