"""xray.notification.offsets"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xray.notification import OffsetTracker, Partition

P, Q = Partition("storage", 0), Partition("storage", 1)


def test_no_offset_is_ready_before_the_first_message_is_finished() -> None:
    tracker = OffsetTracker()
    first, second = tracker.add(P, 7), tracker.add(P, 8)
    tracker.finish(second)
    assert tracker.ready() == {}
    tracker.finish(first)
    assert tracker.ready() == {P: 9}


def test_a_committed_offset_is_not_ready_again() -> None:
    tracker = OffsetTracker()
    tracker.finish(tracker.add(P, 7))
    tracker.committed(tracker.ready())
    assert tracker.ready() == {}


def test_a_forgotten_partition_commits_nothing() -> None:
    tracker = OffsetTracker()
    mine, gone = tracker.add(P, 0), tracker.add(Q, 0)
    tracker.forget(Q)
    tracker.finish(mine)
    tracker.finish(gone)
    assert tracker.ready() == {P: 1}


def test_a_recreated_topic_starts_a_new_sequence() -> None:
    tracker = OffsetTracker()
    old = [tracker.add(P, offset) for offset in range(5)]
    new = tracker.add(P, 0)
    for pending in old:
        tracker.finish(pending)
    assert tracker.ready() == {}, "the old messages do not count"
    tracker.finish(new)
    assert tracker.ready() == {P: 1}


def test_gaps_between_offsets_do_not_matter() -> None:
    tracker = OffsetTracker()
    for offset in (3, 10, 11):  # A compacted topic, or a transaction's markers.
        tracker.finish(tracker.add(P, offset))
    assert tracker.ready() == {P: 12}


@given(st.permutations(range(12)), st.integers(0, 12))
def test_no_offset_is_ready_before_all_messages_up_to_it_are_finished(
    order: list[int], count: int
) -> None:
    tracker = OffsetTracker()
    pendings = [tracker.add(P, offset) for offset in range(12)]
    done = set(order[:count])
    for offset in done:
        tracker.finish(pendings[offset])
    first_open = min(set(range(12)) - done, default=12)
    assert tracker.ready().get(P, 0) == first_open
