"""xray.audit.trail, on an S3 server"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit_records import (
    BUCKET,
    CASE,
    NEWER,
    SECRETS,
    TRAIL_0_1,
    copy,
    deletion,
    ending,
    failure,
    named,
    success,
)
from xray import audit
from xray.audit import trail as trail_module
from xray.audit.record import complete, to_bytes
from xray.errors import ConflictError, ObjectError, TransientError
from xray.storage import ObjectStore


def append(store: ObjectStore, record: dict[str, Any]) -> dict[str, Any]:
    return audit.append(store, BUCKET, CASE, record, SECRETS)


def keys(store: ObjectStore) -> list[str]:
    return [entry.key.removeprefix(f"{CASE}/") for entry in store.list(BUCKET)]


def problems(store: ObjectStore, tmp_path: Path) -> list[str]:
    found = audit.verify(named(copy(store, tmp_path / "copy")), SECRETS).problems
    return [f"{problem.name} {problem.reason}" for problem in found]


def test_records_are_numbered_and_chained(store: ObjectStore, s3: Any) -> None:
    first = append(store, failure("fetch:6"))
    second = append(store, failure("fetch:7"))
    assert [(r["number"], r["attempt"]) for r in (first, second)] == [(1, 1), (2, 2)]
    assert first["previous"] is None
    assert second["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256
    assert audit.records(store, BUCKET, CASE) == [first, second]


def test_a_task_records_its_end_once(store: ObjectStore, s3: Any) -> None:
    first = append(store, failure("fetch:6"))
    assert append(store, failure("fetch:6", "Said again.")) == first
    assert audit.records(store, BUCKET, CASE) == [first]


def test_a_task_records_its_end_once_in_the_whole_trail(store: ObjectStore, s3: Any) -> None:
    """Two runs interleave: the record of this one is not the last when it is written again."""
    ours = append(store, failure("one:fetch:6"))
    theirs = append(store, failure("another:fetch:6"))
    assert append(store, failure("one:fetch:6", "Said again.")) == ours
    reviewed = append(store, ending("withdrawn", "one:fetch:6"))
    trail = audit.records(store, BUCKET, CASE)
    assert trail == [ours, theirs, reviewed], "another outcome is another record"
    assert audit.find(trail, "another:fetch:6", "failed") == theirs
    assert audit.find(trail, "another:fetch:6", "succeeded") is None


def test_a_forged_record_does_not_suppress_the_genuine_one(store: ObjectStore, s3: Any) -> None:
    append(store, failure("fetch:6"))
    genuine = store.get(BUCKET, f"{CASE}/00001.json").data
    forged = complete({**json.loads(genuine), "error": "Nothing."}, "a secret of somebody else")
    s3.put_object(Bucket=BUCKET, Key=f"{CASE}/00001.json", Body=to_bytes(forged))
    assert append(store, failure("fetch:6"))["number"] == 2
    (kept,) = audit.records(store, BUCKET, CASE, SECRETS)
    assert kept["number"] == 2
    # A genuine record of another case is no record of this one.
    other = "f" * 32
    s3.put_object(Bucket=BUCKET, Key=f"{other}/00001.json", Body=genuine)
    assert audit.append(store, BUCKET, other, failure("fetch:6"), SECRETS)["number"] == 2


class Racing(ObjectStore):
    """A store in which another writer is faster, once."""

    raced = False

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> Any:
        if not self.raced:
            self.raced = True
            append(ObjectStore(self._client), failure("another"))
        return super().put(bucket, key, data, **options)


def test_two_writers_get_two_numbers_in_one_chain(s3: Any, store: ObjectStore) -> None:
    ours = append(Racing(s3), failure("fetch:6"))
    assert ours["number"] == 2
    theirs, _ = audit.records(store, BUCKET, CASE)
    assert theirs["token"] == "another"
    assert ours["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256


class Careless(ObjectStore):
    """A store that ignores the condition of a write, and where another writer is later, once."""

    raced = False

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> Any:
        options.pop("once")
        done = super().put(bucket, key, data, **options)
        if not self.raced:
            self.raced = True
            first = trail_module._chained(CASE, failure("another"), [], 0)
            super().put(bucket, key, to_bytes(complete(first, SECRETS[0])), **options)
        return done


def test_a_record_that_another_writer_replaced_is_written_again(
    s3: Any, store: ObjectStore, tmp_path: Path
) -> None:
    ours = append(Careless(s3), failure("fetch:6"))
    assert ours["number"] == 2
    assert [one["token"] for one in audit.records(store, BUCKET, CASE)] == ["another", "fetch:6"]
    assert problems(store, tmp_path) == []


class Silent(ObjectStore):
    """A store that writes, and does not say so, once."""

    silent = True

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> Any:
        done = super().put(bucket, key, data, **options)
        if self.silent:
            self.silent = False
            raise TransientError("The store did not answer.")
        return done


def test_a_record_that_was_written_without_an_answer_is_found(s3: Any, store: ObjectStore) -> None:
    silent = Silent(s3)
    with pytest.raises(TransientError):
        append(silent, failure("fetch:6"))
    assert append(silent, failure("fetch:6"))["number"] == 1
    assert keys(store) == ["00001.json"]


@pytest.mark.parametrize(
    "name", ["Thumbs.db", "", "old/00001.json", "00002.json.bak", "00000.json"]
)
def test_a_stray_file_stops_no_record(
    s3: Any, store: ObjectStore, tmp_path: Path, name: str
) -> None:
    append(store, failure("fetch:6"))
    s3.put_object(Bucket=BUCKET, Key=f"{CASE}/{name}", Body=b"\0")
    assert append(store, failure("fetch:7"))["number"] == 2
    assert len(audit.records(store, BUCKET, CASE)) == 2
    if name:  # The copy has no folder markers.
        assert problems(store, tmp_path) == [f"{CASE}/{name} is no record: remove it"]


@pytest.mark.parametrize("data", [b"{", b"[]", b"[" * 100_000, b"\xff", b'{"attempt": 1e999}'])
def test_a_damaged_record_stops_no_other(s3: Any, store: ObjectStore, data: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{CASE}/00001.json", Body=data)
    second = append(store, failure("fetch:6"))
    assert second["number"] == 2
    assert second["previous"] == store.get(BUCKET, f"{CASE}/00001.json").sha256
    assert audit.records(store, BUCKET, CASE) == [second]


def test_the_newest_secret_seals_and_every_secret_counts(s3: Any, store: ObjectStore) -> None:
    first = append(store, failure("fetch:6"))
    both = (NEWER, *SECRETS)
    assert audit.append(store, BUCKET, CASE, failure("fetch:6"), both) == first
    second = audit.append(store, BUCKET, CASE, failure("fetch:7"), both)
    assert first["seal"]["key"] != second["seal"]["key"]


def test_a_trail_of_version_0_1_0_goes_on(s3: Any, store: ObjectStore, tmp_path: Path) -> None:
    for name, data in named(TRAIL_0_1):
        s3.put_object(Bucket=BUCKET, Key=name, Body=data)
    record = append(store, failure("xray__test:fetch:6"))
    assert (record["number"], record["attempt"]) == (4, 3)
    verdict = audit.verify(named(copy(store, tmp_path / "copy")), SECRETS)
    assert (verdict.problems, verdict.unkeyed) == ((), 0), "the chain leads to a seal"


def test_what_follows_a_form_belongs_to_its_attempt(s3: Any, store: ObjectStore) -> None:
    answer = {"choice": "Normal", "by": "admin", "at": "2026-11-26T15:00:00+00:00"}
    written = [
        append(store, ending("expired", "1")),
        append(
            store,
            success("2", {"engine": "e", "regions": 0, "verified": True, "quarantined": True}),
        ),
        append(store, ending("withdrawn", "3")),
        append(store, failure("4")),
        append(store, ending("refused", "5", answer=answer, error="It came too late.")),
    ]
    assert [one["attempt"] for one in written] == [1, 1, 1, 2, 2]


def test_a_deletion_leaves_one_record_that_names_no_one(
    s3: Any, store: ObjectStore, tmp_path: Path
) -> None:
    for number in range(3):
        append(store, failure(f"fetch:{number}"))
    last = store.get(BUCKET, f"{CASE}/00003.json").sha256
    remaining = audit.erase(store, BUCKET, CASE, deletion("forget"), SECRETS)
    assert keys(store) == ["00004.json"]
    assert (remaining["deletion"]["records"], remaining["previous"]) == (3, last)
    assert b"Ada" not in store.get(BUCKET, f"{CASE}/00004.json").data
    assert audit.erase(store, BUCKET, CASE, deletion("forget"), SECRETS) == remaining
    again = append(store, failure("fetch:9"))
    assert (again["number"], again["attempt"]) == (5, 4)
    assert problems(store, tmp_path) == []
    second = audit.erase(store, BUCKET, CASE, deletion("forget again"), SECRETS)
    assert (second["number"], second["deletion"]["records"]) == (6, 5)
    assert keys(store) == ["00006.json"]


class Refusing(ObjectStore):
    """A store that deletes one object and refuses the next, once."""

    left = 1

    def delete(self, bucket: str, key: str, *args: Any, **options: Any) -> None:
        self.left -= 1
        if self.left == -1:
            raise TransientError("The store is away.")
        super().delete(bucket, key, *args, **options)


def test_a_deletion_that_was_cut_off_is_found_and_completed(
    s3: Any, store: ObjectStore, tmp_path: Path
) -> None:
    for number in range(3):
        append(store, failure(f"fetch:{number}"))
    refusing = Refusing(s3)
    with pytest.raises(TransientError):
        audit.erase(refusing, BUCKET, CASE, deletion("forget"), SECRETS)
    (said,) = problems(store, tmp_path)
    assert said.startswith(f"{CASE}/00004.json says that the records before it were deleted")
    audit.erase(refusing, BUCKET, CASE, deletion("forget"), SECRETS)
    assert keys(store) == ["00004.json"]


def test_a_writer_passes_over_a_record_that_is_deleted_meanwhile(
    s3: Any, store: ObjectStore
) -> None:
    append(store, failure("fetch:6"))
    append(store, failure("fetch:7"))

    class Deleting(ObjectStore):
        def get(self, bucket: str, key: str, **options: Any) -> Any:
            if key.endswith("00001.json"):
                self.delete(bucket, key)
            return super().get(bucket, key, **options)

    assert append(Deleting(s3), failure("fetch:8"))["number"] == 3


def test_a_trail_ends_with_its_last_number(s3: Any, store: ObjectStore) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{CASE}/99999.json", Body=b"{}")
    with pytest.raises(ObjectError, match="99999 records"):
        append(store, failure("fetch:6"))


class Remembering(ObjectStore):
    """A store that keeps versions, and takes a deleted object for a present one."""

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> Any:
        if key.endswith("00002.json"):
            raise ConflictError("The object is not what the condition says.")
        return super().put(bucket, key, data, **options)


def test_a_record_that_was_deleted_stops_no_other(
    s3: Any, store: ObjectStore, tmp_path: Path
) -> None:
    append(store, failure("fetch:6"))
    assert append(Remembering(s3), failure("fetch:7"))["number"] == 3
    assert problems(store, tmp_path) == [f"{CASE}/00002.json is missing"]


def test_an_object_key_that_is_not_utf_8_is_recorded(
    s3: Any, store: ObjectStore, tmp_path: Path
) -> None:
    record = failure("fetch:6")
    record["source"]["key"] = "Ada \ud800 Müller.jpeg"
    assert append(store, record)["source"] == record["source"]
    assert problems(store, tmp_path) == []
