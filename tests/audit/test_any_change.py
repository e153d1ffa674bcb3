"""Whatever is changed in an audit trail: verify finds it, and never fails itself"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support import SECRET
from tests.support.audit_records import CASE, SECRETS, failure
from xray.audit import make_checkpoint, read_checkpoint, verify
from xray.audit.checkpoint import CheckpointError
from xray.audit.record import complete, digest, record_name, record_number, to_bytes

OTHER = "f" * 32


def written(case_id: str, count: int) -> list[tuple[str, bytes]]:
    """A trail of ``count`` records."""
    objects: list[tuple[str, bytes]] = []
    for number in range(1, count + 1):
        previous = hashlib.sha256(objects[-1][1]).hexdigest() if objects else None
        place = {"schema": 2, "case_id": case_id, "number": number, "attempt": number}
        place |= {"previous": previous, "recorded_at": "2026-11-26T15:00:00+00:00"}
        record = complete({**place, **failure(f"fetch:{number}")}, SECRET)
        objects.append((record_name(case_id, number), to_bytes(record)))
    return objects


TRAIL = [*written(CASE, 4), *written(OTHER, 2)]
CHECKPOINT = make_checkpoint(TRAIL, SECRETS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.text() | st.sampled_from(
    [f"{CASE}/", f"{CASE}/00009.json", f"{CASE}/x", "checkpoints/20261126T150000Z.json"]
)


def found(objects: list[tuple[str, bytes]], **known: Any) -> int:
    return len(verify(objects, SECRETS, **known).problems)


def test_the_trail_verifies() -> None:
    assert found(TRAIL) == found(TRAIL, checkpoint=CHECKPOINT) == 0


@given(st.integers(0, len(TRAIL) - 1), st.integers(0), st.integers(0, 2), st.binary(max_size=3))
def test_every_change_of_bytes_is_one_problem(which: int, at: int, gone: int, new: bytes) -> None:
    name, data = TRAIL[which]
    at %= len(data)
    changed = data[:at] + new + data[at + gone :]
    objects = [*TRAIL[:which], (name, changed), *TRAIL[which + 1 :]]
    assert found(objects) == (changed != data)


@given(st.integers(0, len(TRAIL) - 1), st.data())
def test_every_change_without_the_secret_is_found(which: int, data: st.DataObject) -> None:
    """The digest is computed anew, as anybody can."""
    name, before = TRAIL[which]
    record = json.loads(before)
    field = data.draw(st.sampled_from([*record, "note"]))
    record[field] = data.draw(VALUES)
    try:
        changed = to_bytes({**record, "digest": digest(record)})
    except ValueError:  # It is not JSON.
        return
    objects = [*TRAIL[:which], (name, changed), *TRAIL[which + 1 :]]
    assert (found(objects) > 0) == (changed != before)


@given(st.dictionaries(NAMES, st.binary(), max_size=5))
def test_other_files_are_one_problem_each(files: dict[str, bytes]) -> None:
    names = {name for name, _ in TRAIL}
    others = [(name, data) for name, data in files.items() if name not in names]
    gaps = sum(record_number(name) is not None for name, _ in others)
    problems = found(sorted([*TRAIL, *others]))
    assert len(others) <= problems <= len(others) + gaps, "before record 9, others are missing"


@given(st.sets(st.integers(0, len(TRAIL) - 1), min_size=1))
def test_every_removal_is_found_with_a_checkpoint(gone: set[int]) -> None:
    left = [pair for which, pair in enumerate(TRAIL) if which not in gone]
    assert found(left, checkpoint=CHECKPOINT) > 0


@given(st.integers(0), st.integers(0, 2), st.binary(max_size=3))
def test_every_change_of_a_checkpoint_is_found(at: int, gone: int, new: bytes) -> None:
    at %= len(CHECKPOINT)
    changed = CHECKPOINT[:at] + new + CHECKPOINT[at + gone :]
    try:
        read_checkpoint(changed, SECRETS)
    except CheckpointError:
        assert changed != CHECKPOINT
    else:
        assert changed == CHECKPOINT
