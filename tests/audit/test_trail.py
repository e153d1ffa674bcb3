"""xray.audit.trail, on an S3 server"""

from __future__ import annotations

from typing import Any

from tests.support.audit_records import BUCKET, CASE, failure
from xray import audit
from xray.storage import ObjectStore


def test_records_are_numbered_and_chained(store: ObjectStore, s3: Any) -> None:
    first = audit.append(store, BUCKET, CASE, failure("fetch:6"))
    second = audit.append(store, BUCKET, CASE, failure("fetch:7"))
    assert [(r["number"], r["attempt"]) for r in (first, second)] == [(1, 1), (2, 2)]
    assert first["previous"] is None
    assert second["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256
    assert audit.records(store, BUCKET, CASE) == [first, second]


def test_a_task_records_its_end_once(store: ObjectStore, s3: Any) -> None:
    first = audit.append(store, BUCKET, CASE, failure("fetch:6"))
    assert audit.append(store, BUCKET, CASE, failure("fetch:6", "Said again.")) == first
    assert audit.records(store, BUCKET, CASE) == [first]


class Racing(ObjectStore):
    """A store in which another writer is faster, once."""

    raced = False

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> None:
        if not self.raced:
            self.raced = True
            audit.append(ObjectStore(self._client), bucket, CASE, failure("another"))
        super().put(bucket, key, data, **options)


def test_two_writers_get_two_numbers_in_one_chain(s3: Any, store: ObjectStore) -> None:
    ours = audit.append(Racing(s3), BUCKET, CASE, failure("fetch:6"))
    assert ours["number"] == 2
    theirs, _ = audit.records(store, BUCKET, CASE)
    assert theirs["token"] == "another"
    assert ours["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256
