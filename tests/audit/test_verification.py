"""xray.audit.verification"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import SECRET
from tests.support.audit_records import (
    BUCKET,
    CASE,
    NEWER,
    REDACTION,
    REDACTION_0_1,
    SECRETS,
    TRAIL_0_1,
    copy,
    deletion,
    ending,
    named,
    success,
)
from xray.audit import Verdict, append, digest, erase, make_checkpoint, verify
from xray.audit.record import MAX_BYTES, complete, to_bytes
from xray.storage import ObjectStore


def problems(folder: Path, secrets: tuple[str, ...] | None = SECRETS, **known: bytes) -> list[str]:
    """The problems of the records in a folder."""
    found = verify(named(folder), secrets, **known).problems
    return [f"{problem.name} {problem.reason}" for problem in found]


def rewritten(path: Path, secret: str | None = None, **changes: Any) -> None:
    """Change a record, as somebody would who has only ``secret``."""
    record = json.loads(path.read_text()) | changes
    forged = complete(record, secret) if secret else {**record, "digest": digest(record)}
    path.write_bytes(to_bytes(forged))


def test_an_unchanged_trail_verifies(trail: Path) -> None:
    assert verify(named(trail)) == Verdict(records=6, cases=2, problems=())
    assert verify(named(trail), SECRETS) == Verdict(records=6, cases=2, problems=())


@pytest.mark.parametrize("number", [1, 3, 5])
@pytest.mark.parametrize("secrets", [None, SECRETS])
def test_a_change_is_found(trail: Path, number: int, secrets: tuple[str, ...] | None) -> None:
    path = trail / CASE / f"{number:05d}.json"
    path.write_text(path.read_text().replace("no image", "an image"))
    (said,) = problems(trail, secrets)
    assert said == f"{CASE}/{number:05d}.json was changed: its digest does not match"


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_record_rewritten_without_the_secret_is_found(trail: Path, number: int) -> None:
    rewritten(trail / CASE / f"{number:05d}.json", error="Nothing.")
    (said,) = problems(trail)
    assert said == f"{CASE}/{number:05d}.json was changed or forged: its seal does not match"
    if number < 5:
        (said,) = problems(trail, None)
        assert said.startswith(f"{CASE}/{number + 1:05d}.json does not follow")


@pytest.mark.parametrize("changes", [{"recorded_at": "2020"}, {"token": "t"}, {"claim": 7}])
def test_the_seal_covers_every_field(trail: Path, changes: dict[str, Any]) -> None:
    rewritten(trail / CASE / "00005.json", **changes)
    (said,) = problems(trail)
    assert "its seal does not match" in said


def test_a_record_of_another_secret_is_said_to_be_one(trail: Path) -> None:
    rewritten(trail / CASE / "00005.json", "a secret of somebody else")
    (said,) = problems(trail)
    assert "is sealed with a secret that was not given (id " in said
    assert SECRET not in said
    assert len(problems(trail, (NEWER,))) == 6, "one for each record, and none of the chain"
    assert problems(trail, (NEWER, "a secret of somebody else", SECRET)) == []


@pytest.mark.parametrize("gone", [1, 3])
def test_a_missing_record_is_found(trail: Path, gone: int) -> None:
    (trail / CASE / f"{gone:05d}.json").unlink()
    assert problems(trail) == [f"{CASE}/{gone:05d}.json is missing"]


@pytest.mark.parametrize(("first", "last"), [(1, 2), (2, 3), (2, 4)])
def test_a_gap_is_one_problem(trail: Path, first: int, last: int) -> None:
    for number in range(first, last + 1):
        (trail / CASE / f"{number:05d}.json").unlink()
    assert problems(trail) == [f"{CASE}/{first:05d}.json to {last:05d}.json are missing"]


def test_the_largest_gap_is_one_problem(trail: Path) -> None:
    folder = trail / CASE
    (folder / "00005.json").rename(folder / "99999.json")
    assert problems(trail) == [
        f"{CASE}/00005.json to 99998.json are missing",
        f"{CASE}/99999.json does not belong there",
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("Thumbs.db", f"{CASE}/Thumbs.db", f"{CASE}/.DS_Store", f"{CASE}/0/00002.json"),
        *(f"{CASE}/00003.json~", f"{CASE}/3.json", f"{CASE}/00000.json", f"{CASE}/000003.json"),
        *(f"{CASE}/", f"{CASE}/٠٠٠٠٣.json", f"{CASE}.txt", "checkpoints/00001.json", "0", "~"),
    ],
)
def test_a_stray_file_is_one_problem(trail: Path, name: str) -> None:
    objects = sorted([*named(trail), (name, b"anything")])
    verdict = verify(objects, SECRETS)
    (problem,) = verdict.problems
    assert (problem.name, problem.reason) == (name, "is no record: remove it")
    assert (verdict.records, verdict.cases) == (6, 2), "it is not counted"


def test_a_record_in_the_wrong_place_is_found(trail: Path) -> None:
    folder = trail / CASE
    (folder / "00004.json").write_bytes((folder / "00002.json").read_bytes())
    assert problems(trail) == [f"{CASE}/00004.json does not belong there"]
    other = trail / CASE[::-1] / "00002.json"
    other.write_bytes((folder / "00002.json").read_bytes())
    assert f"{CASE[::-1]}/00002.json does not belong there" in problems(trail)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema":' * 100_000, b"NaN", b"null"),
        *(b'{"number": NaN}', b'{"number": -Infinity}', b'{"number": 1e999}', b"9" * 100_000),
        '{"schema": 2}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_is_one_problem(trail: Path, data: bytes) -> None:
    for number in (3, 6):
        (trail / CASE / f"{number:05d}.json").write_bytes(data)
    assert problems(trail) == [f"{CASE}/0000{number}.json is not JSON" for number in (3, 6)]


def test_a_deep_record_is_one_problem(trail: Path) -> None:
    """Parser, schema and writer give up at different depths."""
    path = trail / CASE / "00003.json"
    text = path.read_text()
    assert '"settings": null' in text
    for depth in (10, 100, 400, *range(700, 1100, 20)):
        nested = '{"a":' * depth + "{}" + "}" * depth
        path.write_text(text.replace('"settings": null', f'"settings": {nested}'))
        (said,) = problems(trail)
        assert said.startswith(f"{CASE}/00003.json ")


@pytest.mark.parametrize("secret", [SECRET, None])
def test_a_deep_record_of_this_package_is_at_most_one_problem(
    trail: Path, secret: str | None
) -> None:
    """Its digest is right, so that its bytes are compared, too."""
    path = trail / CASE / "00005.json"
    for depth in (10, 100, 200, 300):
        settings: dict[str, Any] = {}
        for _ in range(depth):
            settings = {"a": settings}
        rewritten(path, secret, settings=settings)
        assert len(problems(trail, None)) == 0
        assert len(problems(trail)) == (secret is None)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"schema": 3}, "$.schema"),
        ({"number": 10**4000}, ""),
        ({"number": 1e300}, ""),
        ({"number": 0}, "$.number"),
        ({"seal": None}, "$.seal"),
        ({"seal": {"key": "0" * 16, "mac": "é" * 64}}, "$.seal.mac"),
        ({"outcome": "erased"}, "$.outcome"),
        ({"outcome": "withdrawn"}, "$"),
        ({"outcome": "deleted"}, "$"),
        ({"note": "of somebody"}, "$"),
    ],
)
def test_another_form_is_one_problem(trail: Path, changes: dict[str, Any], place: str) -> None:
    rewritten(trail / CASE / "00005.json", **changes)
    (said,) = problems(trail)
    expected = f"does not have the form of a record, at {place}" if place else "does not belong"
    assert expected in said


def test_a_record_without_a_seal_is_found(trail: Path) -> None:
    path = trail / CASE / "00005.json"
    record = json.loads(path.read_text())
    del record["seal"]
    path.write_bytes(to_bytes({**record, "digest": digest(record)}))
    for secrets in (None, SECRETS):
        (said,) = problems(trail, secrets)
        assert "does not have the form of a record" in said


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"kind": "permanent"', '"kind": "passing", "kind": "permanent"'),
        lambda text: text + "\n",
        lambda text: json.dumps(json.loads(text)),
    ],
)
def test_other_bytes_of_the_same_record_are_found(trail: Path, change: Any) -> None:
    """A reader could take the first of two equal names, and the seal covers the last."""
    path = trail / CASE / "00005.json"
    path.write_text(change(path.read_text()))
    (said,) = problems(trail)
    assert "was written anew" in said


def test_an_object_that_is_too_large_is_found(trail: Path) -> None:
    objects = [*named(trail), (f"{CASE[::-1]}/00002.json", bytes(MAX_BYTES + 1))]
    (problem,) = verify(objects, SECRETS).problems
    assert problem.reason == "is too large for a record"


def test_the_first_record_follows_no_other(trail: Path) -> None:
    for number, previous, reason in (
        (1, "0" * 64, "though it is the first"),
        (2, None, "no record"),
    ):
        rewritten(trail / CASE / f"{number:05d}.json", SECRET, previous=previous)
        assert any(reason in problem for problem in problems(trail))


def test_a_trail_is_read_record_by_record(trail: Path) -> None:
    """No more than one record of the trail is held."""
    objects, given = named(trail), []

    class Bytes(bytes):
        def __del__(self) -> None:
            given.remove(id(self))

    def counted() -> Any:
        for name, data in objects:
            one = Bytes(data)
            given.append(id(one))
            assert len(given) <= 2
            yield name, one

    assert verify(counted(), SECRETS).records == 6


class TestVersion010:
    """Trails that version 0.1.0 has written"""

    def test_a_trail_verifies_and_is_counted(self) -> None:
        for secrets in (None, SECRETS):
            assert verify(named(TRAIL_0_1), secrets) == Verdict(3, 1, (), unkeyed=3)

    def test_a_change_is_found(self, tmp_path: Path) -> None:
        objects = [(n, d.replace(b"Mask and release", b"Keep")) for n, d in named(TRAIL_0_1)]
        (problem,) = verify(objects, SECRETS).problems
        assert problem.reason == "was changed: its digest does not match"

    def test_a_checkpoint_covers_it(self) -> None:
        checkpoint = make_checkpoint(named(TRAIL_0_1), SECRETS)
        assert verify(named(TRAIL_0_1), SECRETS, checkpoint) == Verdict(3, 1, ())

    def test_a_record_without_a_key_after_the_checkpoint_is_found(self) -> None:
        *earlier, last = named(TRAIL_0_1)
        for known in (earlier, []):
            checkpoint = make_checkpoint(known, SECRETS)
            found = verify([*earlier, last], SECRETS, checkpoint).problems
            assert found[-1].name == last[0]
            assert {problem.reason for problem in found} == {
                "has no key, and is not in the checkpoint"
            }
            assert len(found) == 3 - len(known)

    def test_a_record_without_a_key_after_one_with_a_key_is_found(self, trail: Path) -> None:
        *_, (_, data) = named(TRAIL_0_1)
        record = json.loads(data)
        last = named(trail / CASE)[-1][1]
        record |= {"number": 6, "previous": hashlib.sha256(last).hexdigest()}
        (trail / CASE / "00006.json").write_bytes(to_bytes({**record, "digest": digest(record)}))
        for secrets in (None, SECRETS):
            (said,) = problems(trail, secrets)
            assert said == f"{CASE}/00006.json has no key, though a record before it has one"

    @pytest.mark.parametrize(
        "change", [{"outcome": "withdrawn"}, {"claim": 1}, {"seal": {"key": "0" * 16, "mac": ""}}]
    )
    def test_it_has_no_field_of_a_later_version(self, change: dict[str, Any]) -> None:
        (name, data), *_ = named(TRAIL_0_1)
        record = json.loads(data) | change
        changed = to_bytes({**record, "digest": digest(record)})
        (problem,) = verify([(name, changed)]).problems
        assert "does not have the form of a record" in problem.reason


class TestDeletion:
    """Trails that were deleted"""

    @pytest.fixture
    def erased(self, stored_trail: None, store: ObjectStore, tmp_path: Path) -> Path:
        """The trail after one of its two cases was deleted."""
        erase(store, BUCKET, CASE, deletion("forget"), SECRETS)
        return copy(store, tmp_path / "erased")

    def test_a_trail_that_begins_with_a_deletion_is_complete(self, erased: Path) -> None:
        for secrets in (None, SECRETS):
            assert verify(named(erased), secrets) == Verdict(2, 2, ())

    def test_a_deletion_replaces_what_the_checkpoint_has(self, trail: Path, erased: Path) -> None:
        checkpoint = make_checkpoint(named(trail), SECRETS)
        assert problems(erased, checkpoint=checkpoint) == []
        after = make_checkpoint(named(erased), SECRETS)
        assert problems(erased, checkpoint=after) == []
        assert problems(trail, checkpoint=after) != []

    def test_a_forged_deletion_is_found(self, trail: Path, erased: Path) -> None:
        path = erased / CASE / "00006.json"
        rewritten(path, token="another")
        said = problems(erased, checkpoint=make_checkpoint(named(trail), SECRETS))
        assert said == [
            f"{CASE}/00001.json to 00005.json are missing",
            f"{CASE}/00006.json was changed or forged: its seal does not match",
        ]

    def test_the_counts_of_a_deletion_must_fit(self, erased: Path) -> None:
        path = erased / CASE / "00006.json"
        record = json.loads(path.read_text())
        rewritten(path, SECRET, deletion={**record["deletion"], "records": 4})
        assert problems(erased)[-1].endswith("says that 4 records before it were deleted, not 5")

    def test_a_deletion_names_no_one(self, erased: Path) -> None:
        path = erased / CASE / "00006.json"
        record = json.loads(path.read_text())
        rewritten(path, SECRET, source={**record["source"], "key": "Ada.jpeg"})
        assert problems(erased)[-1].endswith("at $.source.key")


def test_every_outcome_has_its_form(s3: Any, store: ObjectStore, tmp_path: Path) -> None:
    answer = {"choice": "Normal", "by": "admin", "at": "2026-11-26T15:00:00+00:00"}
    nameless = ending("withdrawn", "4")
    nameless["source"]["key"] = None
    unknown = {"kind": "release", "claim": None, "sha256": None}
    for record in (
        ending("withdrawn", "1"),
        ending("expired", "2"),
        ending("refused", "3", answer=answer, error="It came too late.", request=unknown),
        nameless,
    ):
        append(store, BUCKET, CASE, record, SECRETS)
    assert problems(copy(store, tmp_path / "audit")) == []


@pytest.mark.parametrize("missing", ["request", "answer", "error"])
def test_a_refusal_says_what_was_refused(
    s3: Any, store: ObjectStore, tmp_path: Path, missing: str
) -> None:
    answer = {"choice": "Normal", "by": None, "at": "2026-11-26T15:00:00+00:00"}
    record = ending("refused", "3", answer=answer, error="It came too late.")
    del record[missing]
    append(store, BUCKET, CASE, record, SECRETS)
    (said,) = problems(copy(store, tmp_path / "audit"))
    assert "does not have the form of a record" in said


def verdict_on(store: ObjectStore, redaction: dict[str, Any]) -> list[str]:
    """The problems of a record with this result of the redaction."""
    append(store, BUCKET, CASE, success("store:1", redaction), SECRETS)
    (entry,) = store.list(BUCKET)
    found = verify([(entry.key, store.get(BUCKET, entry.key).data)], SECRETS)
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
