"""The form of a checkpoint: how far each trail had got at a time, with a seal.

The last records of a trail, or a whole trail, can be removed without a trace in what remains. A
checkpoint that is kept elsewhere shows that they were there. It is a JSON object with these
properties:

============ =======================================================================
``schema``   the version of this form
``made_at``  the time, in ISO 8601
``records``  the number of records
``cases``    the number of trails
``problems`` the number of problems that were found when it was made
``root``     SHA-256 over all trails: see :func:`root`
``trails``   for each case id: the number of records that are there, the number of
             the last one, and the SHA-256 of its bytes
``seal``     the keyed seal of all the rest: see :mod:`xray.audit.sealing`
============ =======================================================================

Each record holds the hash of the one before it, so the last hash of a trail stands for all of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xray.audit.sealing import from_bytes, keys, make_seal, seal_problem

CHECKPOINTS = "checkpoints/"
"""Where the audit bucket keeps its own checkpoints."""
_SCHEMA = "xray-audit-checkpoint/1"
_PURPOSE = f"seal of {_SCHEMA}"
_ROOT = b"root of " + _SCHEMA.encode() + b"\0"
_PROPERTIES = {"schema", "made_at", "records", "cases", "problems", "root", "trails", "seal"}
_NAME = re.compile(rf"{CHECKPOINTS}[0-9]{{8}}T[0-9]{{6}}Z\.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class TrailEnd:
    """How far a trail has got."""

    records: int
    """The number of records that are there; less than ``number`` after a deletion."""
    number: int
    """The number of the last record."""
    sha256: str
    """Of the bytes of the last record."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The content of a checkpoint."""

    made_at: str
    """In ISO 8601."""
    problems: int
    trails: Mapping[str, TrailEnd]
    """By case id."""

    @property
    def root(self) -> str:
        """The root hash of all trails."""
        return root(self.trails)

    @property
    def records(self) -> int:
        """The number of records of all trails."""
        return sum(end.records for end in self.trails.values())

    def to_bytes(self, secrets: Sequence[str]) -> bytes:
        """Return the bytes of the checkpoint, sealed with the first of the secrets."""
        content = self.content()
        return _written({**content, "seal": make_seal(content, secrets[0], _PURPOSE)})

    def content(self) -> dict[str, Any]:
        """Return all properties but the seal."""
        ordered = sorted(self.trails.items(), key=_order)
        return {
            "schema": _SCHEMA,
            "made_at": self.made_at,
            "records": self.records,
            "cases": len(self.trails),
            "problems": self.problems,
            "root": self.root,
            "trails": {case: [end.records, end.number, end.sha256] for case, end in ordered},
        }


class CheckpointError(ValueError):
    """A checkpoint does not hold. The message is a predicate that follows its name."""


def root(trails: Mapping[str, TrailEnd]) -> str:
    """Return the root hash of all trails: SHA-256 over the following bytes, in hexadecimal digits.

    1. the text ``root of xray-audit-checkpoint/1`` in ASCII, and a zero byte, so that no other hash
       of this package is a root
    2. the number of trails
    3. for each trail, in the order of the bytes of the case ids: the length of the case id, the
       case id in UTF-8, the number of records, the number of the last record, and the SHA-256 of
       its bytes (32 bytes)

    Each number and each length has eight bytes, the highest first, so that two different lists of
    trails never give the same bytes.
    """
    hashed = hashlib.sha256(_ROOT + _number(len(trails)))
    for case_id, end in sorted(trails.items(), key=_order):
        name = _name_bytes(case_id)
        hashed.update(_number(len(name)) + name + _number(end.records) + _number(end.number))
        hashed.update(bytes.fromhex(end.sha256))
    return hashed.hexdigest()


def read_checkpoint(data: bytes, secrets: Sequence[str] | None) -> Checkpoint:
    """Return the checkpoint in ``data``.

    Args:
        data: the bytes of the checkpoint.
        secrets: the secrets that may have sealed it; None if the seal cannot be checked.

    Raises:
        CheckpointError: the form, the root or the seal is wrong.
    """
    try:
        content = from_bytes(data)
        if not _has_form(content):
            raise CheckpointError
        trails = {case_id: TrailEnd(*end) for case_id, end in content["trails"].items()}
        checkpoint = Checkpoint(content["made_at"], content["problems"], trails)
        # The counts and the root follow from the trails, and the order of the text is fixed.
        if _written({**checkpoint.content(), "seal": content["seal"]}) != data:
            raise CheckpointError
    except (ValueError, RecursionError, OverflowError):
        raise CheckpointError(
            "does not have the form of a checkpoint, or was changed: its text, its counts and its "
            "root do not fit together"
        ) from None
    if secrets and (reason := seal_problem(content, keys(secrets, _PURPOSE))):
        raise CheckpointError(reason)
    return checkpoint


def checkpoint_name(moment: datetime) -> str:
    """Return the key of a checkpoint in the audit bucket."""
    return f"{CHECKPOINTS}{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}.json"


def is_checkpoint_name(name: str) -> bool:
    """Return whether ``name`` is the key of a checkpoint in the audit bucket."""
    return _NAME.fullmatch(name) is not None


def _has_form(content: Mapping[str, Any]) -> bool:
    """Return whether the properties of a checkpoint have the right types."""
    return (
        set(content) == _PROPERTIES
        and isinstance(content["made_at"], str)
        and type(content["problems"]) is int
        and isinstance(content["trails"], dict)
        and all(map(_is_end, content["trails"].values()))
        and _is_seal(content["seal"])
    )


def _is_end(end: Any) -> bool:
    """Return whether this is the end of a trail by its form."""
    if not isinstance(end, list) or len(end) != 3:
        return False
    records, number, sha256 = end
    return (
        type(records) is type(number) is int
        and isinstance(sha256, str)
        and _SHA256.fullmatch(sha256) is not None
    )


def _is_seal(found: Any) -> bool:
    """Return whether this is a seal by its form."""
    return (
        isinstance(found, dict)
        and set(found) == {"key", "mac"}
        and all(isinstance(value, str) for value in found.values())
        and _KEY_ID.fullmatch(found["key"]) is not None
        and _SHA256.fullmatch(found["mac"]) is not None
    )


def _order(trail: tuple[str, TrailEnd]) -> bytes:
    """Return what the trails are ordered by."""
    return _name_bytes(trail[0])


def _name_bytes(case_id: str) -> bytes:
    """Return a case id in UTF-8; the name of a folder may be any text."""
    return case_id.encode("utf-8", "surrogatepass")


def _number(value: int) -> bytes:
    """Return a number in eight bytes."""
    return value.to_bytes(8, "big")


def _written(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a checkpoint."""
    return (json.dumps(content, allow_nan=False) + "\n").encode()
