"""Writing and reading the audit trail.

A record is JSON at ``<case id>/<number>.json`` in the audit bucket, in the form
of ``audit.schema.json`` beside this module. Every attempt of a case ends with
one record. Every review, every decision on a quarantined image, and every form
that was withdrawn, expired or answered too late adds one. Each record holds the
hash of the case's record before it, a hash of itself, and a keyed seal.

A deletion replaces the records of a case by one that names no one. Every other
record contains the object key, so the bucket is as confidential as the images
are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from xray.audit.checkpoint import is_checkpoint_name
from xray.audit.record import (
    AGREED,
    DELETED,
    EXPIRED,
    FAILED,
    MAX_BYTES,
    MAX_NUMBER,
    REFUSED,
    RELEASED,
    SCHEMA_VERSION,
    SUCCEEDED,
    WITHDRAWN,
    FormError,
    complete,
    read_record,
    record_keys,
    record_name,
    record_number,
    to_bytes,
)
from xray.audit.sealing import from_bytes, is_sealed
from xray.errors import ConflictError, NotFoundError, ObjectError
from xray.storage import ObjectStore

ENDS = (SUCCEEDED, FAILED, RELEASED, DELETED)
"""The outcomes that end an attempt."""
FOLLOWING = (AGREED, RELEASED, WITHDRAWN, EXPIRED, REFUSED, DELETED)
"""The outcomes that start no attempt, because they belong to the one before them."""
_LISTINGS = 5
"""How often a trail is listed while a deletion removes its records."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record as it is in the bucket."""

    number: int
    sha256: str
    """Of its bytes."""
    record: dict[str, Any] | None
    """None if the bytes are no JSON object."""


def append(
    store: ObjectStore,
    bucket: str,
    case_id: str,
    record: Mapping[str, Any],
    secrets: Sequence[str],
) -> dict[str, Any]:
    """Write ``record`` as the case's next one, and return it with its place in the chain.

    Two writers at the same time get two numbers: the store refuses the second one's first number.
    If the store does not refuse it, the writer notices by reading its record back.

    Args:
        store: the object store.
        bucket: the bucket of the audit records.
        case_id: the case.
        record: the record. Its ``token`` makes this function safe to repeat: if the case's trail
            has a sealed record of the same token and outcome, nothing is written and that record
            is returned. The ``deletion.records`` of a deletion is filled in.
        secrets: the deployment's secrets, newest first. The first one seals.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    taken = 0
    while True:
        entries = _entries(store, bucket, case_id)
        # A forged record must not keep the genuine one from being written.
        genuine = _genuine([entry.record for entry in entries if entry.record], case_id, secrets)
        if earlier := find(genuine, record["token"], record["outcome"]):
            return earlier
        chained = complete(_chained(case_id, record, entries, taken), secrets[0])
        name, data = record_name(case_id, chained["number"]), to_bytes(chained)
        try:
            store.put(bucket, name, data, content_type="application/json", once=True)
        except ConflictError:
            if store.head(bucket, name) is None:
                # Where versions are kept, some stores take a deleted object for a present one. The
                # number is left out, and a verification tells of the record that was deleted.
                taken = chained["number"]
            continue
        # Some stores ignore the condition, so that another writer's record may be there now.
        if store.get(bucket, name).data == data:
            return chained


def erase(
    store: ObjectStore,
    bucket: str,
    case_id: str,
    record: Mapping[str, Any],
    secrets: Sequence[str],
) -> dict[str, Any]:
    """Write ``record``, remove the case's records before it, and return it.

    The function is safe to repeat: a deletion that was cut off is completed.

    Args:
        store: the object store. Its account must be allowed to delete from the audit bucket.
        bucket: the bucket of the audit records.
        case_id: the case.
        record: a record of the outcome :data:`DELETED`, which names no one.
        secrets: the deployment's secrets, newest first.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    remaining = append(store, bucket, case_id, record, secrets)
    # Newest first: what is left by a deletion that is cut off has no gap.
    for number, key in reversed(_listed(store, bucket, case_id)):
        if number < remaining["number"]:
            store.delete(bucket, key)
    return remaining


def records(
    store: ObjectStore, bucket: str, case_id: str, secrets: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Return the case's records, oldest first.

    Files that are no records, and records that are not JSON, are left out: :func:`verify
    <xray.audit.verification.verify>` finds them.

    Args:
        store: the object store.
        bucket: the bucket of the audit records.
        case_id: the case.
        secrets: if given, only records of this case that one of the secrets has sealed are
            returned, so that nobody can forge one. Records of version 0.1.0 have no seal.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    found = [entry.record for entry in _entries(store, bucket, case_id) if entry.record]
    return found if secrets is None else _genuine(found, case_id, secrets)


def objects(store: ObjectStore, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each object in the audit bucket, as a verification needs it.

    The bytes of an object that is neither record nor checkpoint are not read, and yielded as empty.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    for entry in store.list(bucket):
        is_record = record_number(entry.key) is not None
        if is_record and entry.size > MAX_BYTES:
            yield entry.key, bytes(MAX_BYTES + 1)  # Its size alone is the problem.
        elif is_record or is_checkpoint_name(entry.key):
            try:
                data = store.get(bucket, entry.key).data
            except NotFoundError:
                continue  # A deletion has removed it since.
            yield entry.key, data
        else:
            yield entry.key, b""


def trails(
    named: Iterable[tuple[str, bytes]], secrets: Sequence[str] = ()
) -> Iterator[list[dict[str, Any]]]:
    """Yield the records of each case, oldest first; no more than one case is held at a time.

    Records of a wrong form or digest are left out: :func:`verify
    <xray.audit.verification.verify>` finds them.

    Args:
        named: the objects of the audit bucket, as :func:`objects` yields them.
        secrets: if there are any, only records that one of them has sealed are yielded.
    """
    for case_id, group in groupby(named, key=lambda one: one[0].partition("/")[0]):
        numbered = [(number, data) for name, data in group if (number := record_number(name))]
        found = []
        for _, data in sorted(numbered):
            with suppress(FormError):
                found.append(read_record(data))
        if secrets:
            found = _genuine(found, case_id, secrets)
        if found:
            yield found


def find(trail: Iterable[Mapping[str, Any]], token: str, outcome: str) -> dict[str, Any] | None:
    """Return the first record of a trail with this token and outcome; None if there is none."""
    for record in trail:
        if record.get("token") == token and record.get("outcome") == outcome:
            return dict(record)
    return None


def _genuine(
    found: Sequence[dict[str, Any]], case_id: str, secrets: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the records that belong to the case and that one of the secrets has sealed."""
    known = record_keys(secrets)
    return [one for one in found if one.get("case_id") == case_id and is_sealed(one, known)]


def _listed(store: ObjectStore, bucket: str, case_id: str) -> list[tuple[int, str]]:
    """Return the number and the key of each of the case's records, oldest first."""
    keys = [entry.key for entry in store.list(bucket, f"{case_id}/")]
    return sorted((number, key) for key in keys if (number := record_number(key)))


def _entries(store: ObjectStore, bucket: str, case_id: str) -> list[_Entry]:
    """Return the case's records, oldest first.

    If a deletion removes records meanwhile, they are listed again: the number of the next record
    has to follow that of the deletion.
    """
    entries: list[_Entry] = []
    for _ in range(_LISTINGS):
        listed, entries = _listed(store, bucket, case_id), []
        for number, key in listed:
            with suppress(NotFoundError):
                stored = store.get(bucket, key)
                entries.append(_Entry(number, stored.sha256, _content(stored.data)))
        if len(entries) == len(listed):
            break
    return entries


def _content(data: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a record's bytes; None if there is none."""
    try:
        return from_bytes(data)
    except ValueError:
        return None


def _chained(
    case_id: str, record: Mapping[str, Any], entries: Sequence[_Entry], taken: int
) -> dict[str, Any]:
    """Return ``record`` with its place in the case's chain, after the number ``taken``."""
    number = 1 + max(taken, entries[-1].number if entries else 0)
    if number > MAX_NUMBER:
        raise ObjectError(
            f"The audit trail of the case {case_id} has {MAX_NUMBER} records, and no name is left "
            "for another one: find out what runs the case again and again."
        )
    chained = {
        "schema": SCHEMA_VERSION,
        "case_id": case_id,
        "number": number,
        "attempt": _attempt([entry.record for entry in entries if entry.record], record),
        "previous": entries[-1].sha256 if entries else None,
        "recorded_at": datetime.now(UTC).isoformat(),
        **record,
    }
    if "deletion" in chained:
        chained["deletion"] = {**chained["deletion"], "records": number - 1}
    return chained


def _attempt(trail: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> int:
    """Return the number of the attempt that a new record belongs to."""
    numbers = [earlier["attempt"] for earlier in trail if type(earlier.get("attempt")) is int]
    attempt: int = max(numbers, default=1)
    ended = any(
        earlier.get("attempt") == attempt and earlier.get("outcome") in ENDS for earlier in trail
    )
    return attempt + (ended and record["outcome"] not in FOLLOWING)
