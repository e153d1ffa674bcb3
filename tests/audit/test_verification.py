"""xray.audit.verification"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit_records import BUCKET, CASE, REDACTION, REDACTION_0_1, success
from xray.audit import Verdict, append, digest, verify
from xray.storage import ObjectStore


def named(folder: Path) -> list[tuple[str, bytes]]:
    """The records in a folder: name and bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]


def problems(folder: Path) -> list[str]:
    """The problems of the records in a folder."""
    return [f"{problem.name} {problem.reason}" for problem in verify(named(folder)).problems]


def test_an_unchanged_trail_verifies(trail: Path) -> None:
    assert verify(named(trail)) == Verdict(records=6, cases=2, problems=())


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_change_is_found(trail: Path, number: int) -> None:
    path = trail / CASE / f"{number:05d}.json"
    path.write_text(path.read_text().replace("no image", "an image"))
    assert problems(trail)[0].startswith(f"{CASE}/{number:05d}.json was changed")


def test_a_change_with_a_new_digest_breaks_the_chain(trail: Path) -> None:
    path = trail / CASE / "00002.json"
    record = json.loads(path.read_text()) | {"error": "Nothing."}
    path.write_text(json.dumps({**record, "digest": digest(record)}))
    (said,) = problems(trail)
    assert said.startswith(f"{CASE}/00003.json does not follow")


@pytest.mark.parametrize("gone", [[1], [3], [2, 3]])
def test_a_missing_record_is_found(trail: Path, gone: list[int]) -> None:
    for number in gone:
        (trail / CASE / f"{number:05d}.json").unlink()
    assert problems(trail) == [f"{CASE}/{number:05d}.json is missing" for number in gone]


def test_a_record_in_the_wrong_place_is_found(trail: Path) -> None:
    folder = trail / CASE
    (folder / "00004.json").write_bytes((folder / "00002.json").read_bytes())
    assert problems(trail)[0] == f"{CASE}/00004.json does not belong there"


def test_a_file_that_is_not_a_record_is_found(trail: Path) -> None:
    (trail / CASE / "00006.json").write_text("{")
    (trail / CASE / "00007.json").write_text("{}")
    said = problems(trail)
    assert said[0].endswith("00006.json is not JSON")
    assert "00007.json does not have the form of a record" in said[1]


def test_the_first_record_follows_no_other(trail: Path) -> None:
    for number, previous, reason in (
        (1, "0" * 64, "though it is the first"),
        (2, None, "no record"),
    ):
        path = trail / CASE / f"{number:05d}.json"
        record = json.loads(path.read_text()) | {"previous": previous}
        path.write_text(json.dumps({**record, "digest": digest(record)}))
        assert any(reason in problem for problem in problems(trail))


def verdict_on(store: ObjectStore, redaction: dict[str, Any]) -> list[str]:
    """The problems of a record with this result of the redaction."""
    append(store, BUCKET, CASE, success("store:1", redaction))
    (entry,) = store.list(BUCKET)
    found = verify([(entry.key, store.get(BUCKET, entry.key).data)])
    return [problem.reason for problem in found.problems]


@pytest.mark.parametrize("redaction", [REDACTION, REDACTION_0_1])
def test_the_redaction_of_every_version_has_the_form_of_a_record(
    s3: Any, store: ObjectStore, redaction: dict[str, Any]
) -> None:
    assert verdict_on(store, redaction) == []


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0.5},
        {"check": None},
        {"check": {**REDACTION["check"], "read": -1}},
        {"check": {**REDACTION["check"], "text": "Ashgrove"}},
        {"check": {"engine": "e", "rounds": 1}},
    ],
)
def test_another_form_of_the_redaction_is_found(
    s3: Any, store: ObjectStore, change: dict[str, Any]
) -> None:
    (reason,) = verdict_on(store, {**REDACTION, **change})
    assert "does not have the form of a record, at $.redaction" in reason
