"""Verifying the audit trail: finding records that were changed, forged or removed.

Without a secret, the chain alone is checked: a record that was changed, or that is missing between
two others. With the secret, the seals are checked as well: nobody without the secret can have
written a record. With a checkpoint, records that were removed from the end of a trail are found,
and whole trails that are missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from xray.audit.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    CheckpointError,
    TrailEnd,
    is_checkpoint_name,
    read_checkpoint,
)
from xray.audit.record import (
    DELETED,
    SCHEMA_VERSION,
    FormError,
    read_record,
    record_keys,
    record_name,
    record_number,
)
from xray.audit.sealing import seal_problem
from xray.derivation import DerivedKey

CHECKPOINT = "the checkpoint"
"""The name in a problem of the checkpoint that was given."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem of a record, of a trail, or of another file in the bucket."""

    name: str
    """``<case id>/<number>.json``, which names no patient; or the name of a file that is no record,
    which is somebody else's choice."""
    reason: str
    """A predicate that follows the name in a sentence, such as "is missing"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a verification."""

    records: int
    """The number of records verified."""
    cases: int
    """The number of cases that they belong to."""
    problems: tuple[Problem, ...]
    unkeyed: int = 0
    """The number of records from version 0.1.0 that no seal and no checkpoint covers."""
    checkpoints: int = 0
    """The number of the bucket's own checkpoints."""


def verify(
    named: Iterable[tuple[str, bytes]],
    secrets: Sequence[str] | None = None,
    checkpoint: bytes | None = None,
) -> Verdict:
    """Verify the audit trail. No more than one record is held at a time.

    Args:
        named: the objects of the audit bucket, as (name, bytes) in the order of their names. The
            bytes of an object that is neither record nor checkpoint are not looked at.
        secrets: the secrets that may have sealed the records. Without any, the seals are not
            checked.
        checkpoint: an earlier checkpoint of the same bucket.
    """
    known, problems = _known(checkpoint, secrets)
    verification = _Verification(secrets, known)
    for _ in verification.trails(named):
        pass
    return verification.verdict(problems)


def make_checkpoint(
    named: Iterable[tuple[str, bytes]],
    secrets: Sequence[str],
    earlier: bytes | None = None,
) -> bytes:
    """Verify the audit trail, and return a checkpoint of it as it is now.

    Args:
        named: the objects of the audit bucket, as (name, bytes) in the order of their names.
        secrets: the deployment's secrets, newest first. The first one seals.
        earlier: an earlier checkpoint of the same bucket, to verify the trail against.
    """
    made_at = datetime.now(UTC)
    known, problems = _known(earlier, secrets)
    verification = _Verification(secrets, known)
    trails = dict(verification.trails(named))
    found = len(verification.verdict(problems).problems)
    return Checkpoint(made_at.isoformat(), found, trails).to_bytes(secrets)


def _known(
    data: bytes | None, secrets: Sequence[str] | None
) -> tuple[Checkpoint | None, list[Problem]]:
    """Return the content of a checkpoint that was given, and its problems."""
    if data is None:
        return None, []
    try:
        return read_checkpoint(data, secrets), []
    except CheckpointError as error:
        return None, [Problem(CHECKPOINT, str(error))]


class _Verification:
    """The state of a verification."""

    def __init__(self, secrets: Sequence[str] | None, known: Checkpoint | None) -> None:
        self._secrets = secrets
        self._keys = record_keys(secrets) if secrets else None
        self._has_checkpoint = known is not None
        self._unseen = dict(known.trails) if known else {}
        """The trails of the checkpoint that have not come yet."""
        self._problems: list[Problem] = []
        self._records = self._cases = self._unkeyed = self._checkpoints = 0

    def trails(self, named: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, TrailEnd]]:
        """Verify all objects; yield each case id with the end of its trail."""
        for folder, group in groupby(named, key=_folder):
            trail: _Trail | None = None
            for name, data in group:
                if is_checkpoint_name(name):
                    self._add_checkpoint(name, data)
                elif name.startswith(CHECKPOINTS) or (number := record_number(name)) is None:
                    self._problems.append(Problem(name, "is no record: remove it"))
                else:
                    trail = trail or self._trail(folder)
                    self._problems += trail.add(number, name, data)
            if trail is not None:
                self._problems += trail.finish()
                self._cases += 1
                self._records += trail.end.records
                self._unkeyed += trail.unkeyed
                yield folder, trail.end
        for case_id, end in self._unseen.items():
            reason = f"is missing as a whole: the checkpoint has {end.records} records of it"
            self._problems.append(Problem(f"{case_id}/", reason))

    def verdict(self, problems: Sequence[Problem] = ()) -> Verdict:
        """Return the result. ``problems`` were found before."""
        return Verdict(
            self._records,
            self._cases,
            (*problems, *self._problems),
            self._unkeyed,
            self._checkpoints,
        )

    def _trail(self, case_id: str) -> _Trail:
        known = self._unseen.pop(case_id, None)
        return _Trail(case_id, self._keys, known, has_checkpoint=self._has_checkpoint)

    def _add_checkpoint(self, name: str, data: bytes) -> None:
        """Check one of the bucket's own checkpoints."""
        self._checkpoints += 1
        try:
            read_checkpoint(data, self._secrets)
        except CheckpointError as error:
            self._problems.append(Problem(name, str(error)))


class _Trail:
    """One case's trail under verification.

    Args:
        case_id: the case.
        keys: the keys that may have sealed the records; None if seals are not checked.
        known: the end that a checkpoint has of this trail.
        has_checkpoint: whether there is a checkpoint, even if it does not have this trail.
    """

    def __init__(
        self,
        case_id: str,
        keys: Mapping[str, DerivedKey] | None,
        known: TrailEnd | None,
        *,
        has_checkpoint: bool,
    ) -> None:
        self._case_id, self._keys = case_id, keys
        self._known, self._has_checkpoint = known, has_checkpoint
        self._previous: str | None = None
        """The hash of the record before; None if it is missing, or has a problem of its own."""
        self._keyed = False
        self.end = TrailEnd(0, 0, "")
        """The end of the part of the trail that has been verified."""
        self.unkeyed = 0
        """The number of records so far that have no seal, and that nothing else covers."""

    def add(self, number: int, name: str, data: bytes) -> Iterator[Problem]:
        """Verify the next record; yield its problems."""
        before, sha256 = self.end, hashlib.sha256(data).hexdigest()
        gap = number > before.number + 1
        record, reason = self._read(name, number, data)
        deletion = record is not None and reason is None and record["outcome"] == DELETED
        if gap and not deletion:
            yield self._missing(before.number + 1, number - 1)
        if deletion and before.records:
            yield Problem(
                name,
                f"says that the records before it were deleted, but {before.records} of them are "
                "still there: complete the deletion",
            )
        if record is not None and reason is None:
            previous = None if gap else self._previous
            reason = _chain_problem(record, number, previous) or self._cover_problem(record, sha256)
        if reason is not None:
            yield Problem(name, reason)
        self.end = TrailEnd(before.records + 1, number, sha256)
        self._previous = sha256 if reason is None else None
        self._count(record, reason)

    def finish(self) -> Iterator[Problem]:
        """Yield the problem of the trail's end."""
        if self._known and self._known.number > self.end.number:
            missing = self._missing(self.end.number + 1, self._known.number)
            yield Problem(missing.name, f"{missing.reason}, according to the checkpoint")

    def _read(
        self, name: str, number: int, data: bytes
    ) -> tuple[dict[str, Any] | None, str | None]:
        """Return a record and what is wrong with it, apart from its chain."""
        try:
            record = read_record(data)
        except FormError as error:
            return None, str(error)
        if (name, record["case_id"], record["number"]) != (
            record_name(self._case_id, number),
            self._case_id,
            number,
        ):
            return record, "does not belong there"
        deletion = record.get("deletion")
        if deletion is not None and deletion["records"] != number - 1:
            return record, (
                f"says that {deletion['records']} records before it were deleted, not {number - 1}"
            )
        if self._keys is not None and record["schema"] == SCHEMA_VERSION:
            return record, seal_problem(record, self._keys)
        return record, None

    def _cover_problem(self, record: Mapping[str, Any], sha256: str) -> str | None:
        """Return what is wrong with a record by the checkpoint, or by the records before it."""
        number, known = record["number"], self._known
        if known and known.number == number and known.sha256 != sha256:
            return "was written anew since the checkpoint"
        if record["schema"] == SCHEMA_VERSION:
            return None
        if self._keyed:
            return "has no key, though a record before it has one"
        if self._has_checkpoint and number > (known.number if known else 0):
            return "has no key, and is not in the checkpoint"
        return None

    def _count(self, record: Mapping[str, Any] | None, reason: str | None) -> None:
        """Count the records that nothing covers: a seal or a checkpoint covers all before it."""
        keyed = record is not None and record["schema"] == SCHEMA_VERSION
        self._keyed = self._keyed or keyed
        if record is not None and not keyed:
            self.unkeyed += 1
        at_known = self._known is not None and self._known.number == self.end.number
        if reason is None and (keyed or at_known):
            self.unkeyed = 0

    def _missing(self, first: int, last: int) -> Problem:
        """Return the problem of records that are missing, however many there are."""
        if first == last:
            return Problem(record_name(self._case_id, first), "is missing")
        return Problem(record_name(self._case_id, first), f"to {last:05d}.json are missing")


def _chain_problem(record: Mapping[str, Any], number: int, previous: str | None) -> str | None:
    """Return why a record does not follow the one with the hash ``previous``; None if it does."""
    if record["previous"] is None:
        return "names no record before it" if number > 1 else None
    if number == 1:
        return "names a record before it, though it is the first"
    if previous not in (None, record["previous"]):
        return "does not follow the record before it: one of the two was changed"
    return None


def _folder(pair: tuple[str, bytes]) -> str:
    """Return the folder of an object; it is empty for an object at the top level."""
    return pair[0].rpartition("/")[0].partition("/")[0]
