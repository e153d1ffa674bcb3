"""xray.audit.checkpoint, and what verify finds with one"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit_records import BUCKET, CASE, NEWER, SECRETS, copy, failure, named
from xray.audit import TrailEnd, append, checkpoint_name, digest, make_checkpoint, verify
from xray.audit.checkpoint import is_checkpoint_name, read_checkpoint, root
from xray.audit.record import to_bytes
from xray.storage import ObjectStore

OTHER = CASE[::-1]
MOMENT = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)


@pytest.fixture
def checkpoint(trail: Path) -> bytes:
    """A checkpoint of the trail."""
    return make_checkpoint(named(trail), SECRETS)


def problems(folder: Path, checkpoint: bytes | None, secrets: Any = SECRETS) -> list[str]:
    """The problems of the records in a folder."""
    found = verify(named(folder), secrets, checkpoint).problems
    return [f"{problem.name} {problem.reason}" for problem in found]


def test_a_checkpoint_says_how_far_each_trail_has_got(trail: Path, checkpoint: bytes) -> None:
    content = json.loads(checkpoint)
    last = (trail / CASE / "00005.json").read_bytes()
    assert content["trails"][CASE] == [5, 5, hashlib.sha256(last).hexdigest()]
    assert (content["records"], content["cases"], content["problems"]) == (6, 2, 0)
    age = datetime.now(UTC) - datetime.fromisoformat(content["made_at"])
    assert timedelta(0) <= age < timedelta(minutes=5)
    assert b"Ada" not in checkpoint


def test_the_root_is_the_one_that_is_documented() -> None:
    ends = {"b": TrailEnd(1, 3, "11" * 32), "a": TrailEnd(2, 2, "22" * 32)}
    text = b"root of xray-audit-checkpoint/1\0" + (2).to_bytes(8, "big")
    for name, records, number, byte in ((b"a", 2, 2, b"\x22"), (b"b", 1, 3, b"\x11")):
        text += (1).to_bytes(8, "big") + name + records.to_bytes(8, "big")
        text += number.to_bytes(8, "big") + byte * 32
    assert root(ends) == hashlib.sha256(text).hexdigest()
    assert root({}) == hashlib.sha256(b"root of xray-audit-checkpoint/1\0" + bytes(8)).hexdigest()


@pytest.mark.parametrize("secrets", [None, SECRETS, (NEWER, *SECRETS)])
def test_an_unchanged_trail_verifies(
    trail: Path, checkpoint: bytes, secrets: tuple[str, ...] | None
) -> None:
    assert problems(trail, checkpoint, secrets) == []


def test_a_trail_may_grow(
    stored_trail: None, checkpoint: bytes, store: ObjectStore, tmp_path: Path
) -> None:
    append(store, BUCKET, CASE, failure("fetch:9"), SECRETS)
    append(store, BUCKET, "f" * 32, failure("fetch:1"), SECRETS)
    assert problems(copy(store, tmp_path / "later"), checkpoint) == []


@pytest.mark.parametrize("left", [1, 3, 4])
def test_a_trail_that_was_cut_off_is_found(trail: Path, checkpoint: bytes, left: int) -> None:
    for number in range(left + 1, 6):
        (trail / CASE / f"{number:05d}.json").unlink()
    assert problems(trail, None) == [], "nothing in the trail shows it"
    (said,) = problems(trail, checkpoint)
    expected = "is missing" if left == 4 else "to 00005.json are missing"
    assert said == f"{CASE}/{left + 1:05d}.json {expected}, according to the checkpoint"


@pytest.mark.parametrize("case_id", [CASE, OTHER])
def test_a_trail_that_was_removed_is_found(trail: Path, checkpoint: bytes, case_id: str) -> None:
    count = len(list((trail / case_id).iterdir()))
    shutil.rmtree(trail / case_id)
    assert problems(trail, None) == [], "nothing in the trail shows it"
    assert problems(trail, checkpoint) == [
        f"{case_id}/ is missing as a whole: the checkpoint has {count} records of it"
    ]


def test_a_trail_of_which_a_stray_file_is_left_is_missing(trail: Path, checkpoint: bytes) -> None:
    shutil.rmtree(trail / CASE)
    (trail / CASE).mkdir()
    (trail / CASE / "Thumbs.db").write_bytes(b"")
    assert len(problems(trail, checkpoint)) == 2


def test_a_trail_that_was_rewritten_is_found(trail: Path, checkpoint: bytes) -> None:
    """Without the secret, the chain alone is checked, and a rewritten chain is a chain."""
    previous = None
    for path in sorted((trail / CASE).iterdir()):
        record = json.loads(path.read_text()) | {"error": "Nothing.", "previous": previous}
        path.write_bytes(to_bytes({**record, "digest": digest(record)}))
        previous = hashlib.sha256(path.read_bytes()).hexdigest()
    assert problems(trail, None, None) == []
    assert problems(trail, checkpoint, None) == [
        f"{CASE}/00005.json was written anew since the checkpoint"
    ]


def test_a_checkpoint_tells_of_problems_when_it_was_made(trail: Path) -> None:
    (trail / CASE / "00003.json").unlink()
    (trail / "Thumbs.db").write_bytes(b"")
    content = json.loads(make_checkpoint(named(trail), SECRETS))
    assert content["problems"] == 2
    assert content["trails"][CASE][:2] == [4, 5]


CHANGES: list[Callable[[dict[str, Any]], Any]] = [
    lambda content: content.update(made_at="2020-01-01T00:00:00+00:00"),
    lambda content: content.update(problems=7),
    lambda content: content["seal"].update(mac="0" * 64),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_checkpoint_is_found(
    trail: Path, checkpoint: bytes, change: Callable[[dict[str, Any]], Any]
) -> None:
    content = json.loads(checkpoint)
    change(content)
    (said,) = problems(trail, (json.dumps(content) + "\n").encode())
    assert said == "the checkpoint was changed or forged: its seal does not match"


def test_a_checkpoint_of_another_secret_is_said_to_be_one(trail: Path, checkpoint: bytes) -> None:
    said = problems(trail, checkpoint, (NEWER,))
    assert "the checkpoint is sealed with a secret that was not given" in said[0]


def test_a_checkpoint_for_which_trails_were_dropped_is_found(
    trail: Path, checkpoint: bytes
) -> None:
    """Somebody without the secret computes the counts and the root anew."""
    known = read_checkpoint(checkpoint, SECRETS)
    trails = {OTHER: known.trails[OTHER]}
    forged = type(known)(known.made_at, 0, trails).to_bytes(["a secret of somebody else"])
    (said,) = problems(trail, forged)
    assert "sealed with a secret that was not given" in said


BROKEN: list[Callable[[bytes], bytes]] = [
    lambda data: b"",
    lambda data: b"[]",
    lambda data: b"{}",
    lambda data: b"\xff",
    lambda data: b"[" * 100_000,
    lambda data: data + b"\n",
    lambda data: data.replace(b'"records": 6', b'"records": 7'),
    lambda data: data.replace(b'"cases": 2', b'"cases": NaN'),
    lambda data: data.replace(b'"cases": 2', b'"cases": 1, "cases": 2'),
    lambda data: data.replace(b'"problems": 0', b'"problems": false'),
    lambda data: data.replace(b'"root": "', b'"root": "0'),
    lambda data: data.replace(b"[5, 5, ", b"[5, 6, "),
    lambda data: data.replace(b"[5, 5, ", b"[-5, 5, "),
    lambda data: data.replace(b"[5, 5, ", b"[5, " + b"9" * 100 + b", "),
    lambda data: data.replace(b"[5, 5, ", b"[5, "),
    lambda data: data.replace(b"[5, 5, ", b'[5, "5", '),
    lambda data: data.replace(b'"seal": {', b'"seal": {"note": "not sealed", '),
    lambda data: data.replace(b"{", b'{"note": "not sealed", ', 1),
    lambda data: data.replace(b"xray-audit-checkpoint/1", b"xray-audit-checkpoint/2"),
]


@pytest.mark.parametrize("change", BROKEN)
@pytest.mark.parametrize("secrets", [None, SECRETS])
def test_what_is_not_of_the_form_is_no_checkpoint(
    trail: Path,
    checkpoint: bytes,
    change: Callable[[bytes], bytes],
    secrets: tuple[str, ...] | None,
) -> None:
    broken = change(checkpoint)
    assert broken != checkpoint
    (said,) = problems(trail, broken, secrets)
    assert said.startswith("the checkpoint does not have the form of a checkpoint, or was changed")


def test_the_buckets_own_checkpoints_are_checked(trail: Path, checkpoint: bytes) -> None:
    folder = trail / "checkpoints"
    folder.mkdir()
    (folder / "20261126T150000Z.json").write_bytes(checkpoint)
    verdict = verify(named(trail), SECRETS)
    assert (verdict.problems, verdict.checkpoints, verdict.cases) == ((), 1, 2)
    changed = checkpoint.replace(b'"problems": 0', b'"problems": 1')
    (folder / "20261126T160000Z.json").write_bytes(changed)
    (folder / "latest.json").write_bytes(checkpoint)
    assert problems(trail, None) == [
        "checkpoints/20261126T160000Z.json was changed or forged: its seal does not match",
        "checkpoints/latest.json is no record: remove it",
    ]


def test_a_checkpoint_of_a_bucket_with_checkpoints(trail: Path, checkpoint: bytes) -> None:
    (trail / "checkpoints").mkdir()
    (trail / "checkpoints" / "20261126T150000Z.json").write_bytes(checkpoint)
    again = json.loads(make_checkpoint(named(trail), SECRETS))
    assert again["root"] == json.loads(checkpoint)["root"]


def test_the_name_of_a_checkpoint_is_its_time() -> None:
    assert checkpoint_name(MOMENT) == "checkpoints/20261126T150000Z.json"
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5)))
    assert checkpoint_name(elsewhere) == checkpoint_name(MOMENT)
    assert is_checkpoint_name(checkpoint_name(MOMENT))
    for name in (checkpoint_name(MOMENT) + "x", "checkpoints/1.json", f"{CASE}/00001.json"):
        assert not is_checkpoint_name(name)
