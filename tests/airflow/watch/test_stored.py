"""xray.airflow.watch.stored: what listings of the store say"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.cases import BUCKET, KEY, let_wait
from xray import audit
from xray.airflow.watch import stored
from xray.case import Buckets
from xray.case.manifest import RELEASE, REVIEW, marker_key
from xray.storage import ObjectStore

BUCKETS = Buckets(BUCKET)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Paginator:
    """Pages of markers, each a second older than the one before."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pages = 0

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        for first in range(0, self.number, 1000):
            self.pages += 1
            yield {
                "Contents": [
                    {
                        "Key": marker_key(REVIEW, f"{place:032x}", 1),
                        "ETag": '"e"',
                        "Size": 1,
                        "LastModified": NOW - timedelta(seconds=place),
                    }
                    for place in range(first, min(first + 1000, self.number))
                ]
            }


class Client:
    """A client of a store that can only list."""

    def __init__(self, number: int) -> None:
        self.paginator = Paginator(number)

    def get_paginator(self, _: str) -> Paginator:
        return self.paginator


def test_what_waits_is_counted_by_its_markers(store: ObjectStore) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    assert stored.waiting(store, BUCKETS, REVIEW, later) == {
        "waiting.review": 0,
        "waiting.review_age": 0,
    }
    for number in range(3):
        let_wait(store, f"{KEY}{number}", number)
    let_wait(store, f"{KEY}3", 3, kind=RELEASE)
    found = stored.waiting(store, BUCKETS, REVIEW, later)
    assert found["waiting.review"] == 3
    assert 7190 < found["waiting.review_age"] < 7320
    assert stored.waiting(store, BUCKETS, RELEASE, later)["waiting.release"] == 1


def test_ten_thousand_markers_cost_ten_requests_and_no_object() -> None:
    client = Client(10_000)
    found = stored.waiting(ObjectStore(client), BUCKETS, REVIEW, NOW)
    assert found == {"waiting.review": 10_000, "waiting.review_age": 9_999}
    assert client.paginator.pages == 10


def test_no_listing_goes_on_for_ever() -> None:
    client = Client(10**9)
    found = stored.waiting(ObjectStore(client), BUCKETS, REVIEW, NOW)
    assert found["waiting.review"] == stored.MOST_LISTED
    assert client.paginator.pages <= stored.MOST_LISTED / 1000 + 1


def test_the_age_of_the_oldest_staged_image(store: ObjectStore) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert stored.staging(store, BUCKETS, later) == {"staging.age": 0}
    store.put(BUCKETS.staging, "case/annotated.png", b"x", content_type="image/png")
    assert 3590 < stored.staging(store, BUCKETS, later)["staging.age"] < 3720


def test_the_age_of_the_newest_checkpoint(store: ObjectStore) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert stored.checkpoint(store, BUCKETS, later) == {}
    stray = f"{audit.CHECKPOINTS}notes.txt"
    store.put(BUCKETS.audit, stray, b"x", content_type="text/plain")
    assert stored.checkpoint(store, BUCKETS, later) == {}
    name = audit.checkpoint_name(datetime(2026, 1, 1, tzinfo=UTC))
    store.put(BUCKETS.audit, name, b"{}", content_type="application/json")
    assert 3590 < stored.checkpoint(store, BUCKETS, later)["audit.checkpoint_age"] < 3720


def test_a_store_whose_clock_is_ahead_gives_no_negative_age(store: ObjectStore) -> None:
    let_wait(store, KEY, 1)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    assert stored.waiting(store, BUCKETS, REVIEW, long_ago)["waiting.review_age"] == 0
