"""xray.offsets"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xray.offsets import Ledger, Place

P, Q = Place("storage", 0), Place("storage", 1)


def test_nothing_is_ready_before_the_first_is_done() -> None:
    ledger = Ledger()
    first, second = ledger.take(P, 7), ledger.take(P, 8)
    ledger.done(second)
    assert ledger.ready() == {}
    ledger.done(first)
    assert ledger.ready() == {P: 9}


def test_what_is_committed_is_not_ready_again() -> None:
    ledger = Ledger()
    ledger.done(ledger.take(P, 7))
    ledger.committed(ledger.ready())
    assert ledger.ready() == {}


def test_a_forgotten_partition_commits_nothing() -> None:
    ledger = Ledger()
    mine, gone = ledger.take(P, 0), ledger.take(Q, 0)
    ledger.forget(Q)
    ledger.done(mine)
    ledger.done(gone)
    assert ledger.ready() == {P: 1}


def test_a_topic_made_anew_starts_a_new_sequence() -> None:
    ledger = Ledger()
    old = [ledger.take(P, offset) for offset in range(5)]
    new = ledger.take(P, 0)
    for ticket in old:
        ledger.done(ticket)
    assert ledger.ready() == {}, "the old messages say nothing of the new one"
    ledger.done(new)
    assert ledger.ready() == {P: 1}


def test_offsets_that_are_missing_are_no_hindrance() -> None:
    ledger = Ledger()
    for offset in (3, 10, 11):  # A compacted topic, or a transaction's markers.
        ledger.done(ledger.take(P, offset))
    assert ledger.ready() == {P: 12}


@given(st.permutations(range(12)), st.integers(0, 12))
def test_no_offset_is_ready_before_all_up_to_it_are_done(order: list[int], count: int) -> None:
    ledger = Ledger()
    tickets = [ledger.take(P, offset) for offset in range(12)]
    done = set(order[:count])
    for offset in done:
        ledger.done(tickets[offset])
    first_open = min(set(range(12)) - done, default=12)
    assert ledger.ready().get(P, 0) == first_open
