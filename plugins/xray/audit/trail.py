"""Writing and reading the audit trail.

A record is JSON at ``<case id>/<number>.json`` in the audit bucket, in the form
of ``audit.schema.json`` beside this module. Every attempt of a case ends with
one record. Every review and every decision on a quarantined image adds one.
Each record holds the hash of the case's record before it, and a hash of itself.

A record contains the object key, so the bucket is as confidential as the images
are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from xray.errors import AlreadyExistsError
from xray.storage import ObjectStore

SCHEMA_VERSION = 1
SUCCEEDED, FAILED, REVIEWED, RELEASED = "succeeded", "failed", "reviewed", "released"
ENDS = (SUCCEEDED, FAILED, RELEASED)
"""The outcomes after which the next record starts a new attempt, unless it is a release."""


def append(
    store: ObjectStore, bucket: str, case_id: str, record: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``record`` as the case's next one, and return it with its place in the chain.

    Two writers at the same time get two numbers: the store refuses the second one's first number.

    Args:
        store: the object store.
        bucket: the bucket of the audit records.
        case_id: the case.
        record: the record. Its ``token`` makes this function safe to repeat: if the case's last
            record has the same token and the same outcome, nothing is written and that record is
            returned.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    while True:
        last, last_hash = _last(store, bucket, case_id)
        if last and all(last.get(name) == record[name] for name in ("outcome", "token")):
            return last
        chained = _chained(case_id, record, last, last_hash)
        try:
            store.put(
                bucket,
                record_name(case_id, chained["number"]),
                json.dumps(chained, indent=2, ensure_ascii=False).encode(),
                content_type="application/json",
                once=True,
            )
        except AlreadyExistsError:
            continue
        return chained


def records(store: ObjectStore, bucket: str, case_id: str) -> list[dict[str, Any]]:
    """Return the case's records, oldest first.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    return [
        json.loads(store.get(bucket, entry.key).data) for entry in store.list(bucket, f"{case_id}/")
    ]


def record_name(case_id: str, number: int) -> str:
    """Return the key of a record in the audit bucket. It names no patient."""
    return f"{case_id}/{number:05d}.json"


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record without its ``digest``, as the schema describes it."""
    rest = {name: value for name, value in record.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _last(
    store: ObjectStore, bucket: str, case_id: str
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the case's last record and the SHA-256 of its bytes; None and None if it has none."""
    key = max((entry.key for entry in store.list(bucket, f"{case_id}/")), default=None)
    if key is None:
        return None, None
    stored = store.get(bucket, key)
    return json.loads(stored.data), stored.sha256


def _chained(
    case_id: str, record: Mapping[str, Any], last: Mapping[str, Any] | None, last_hash: str | None
) -> dict[str, Any]:
    """Return ``record`` with its place in the case's chain."""
    number, attempt = 1, 1
    if last:
        number = last["number"] + 1
        attempt = last["attempt"]
        attempt += last["outcome"] in ENDS and record["outcome"] != RELEASED
    chained = {
        "schema": SCHEMA_VERSION,
        "case_id": case_id,
        "number": number,
        "attempt": attempt,
        "previous": last_hash,
        "recorded_at": datetime.now(UTC).isoformat(),
        **record,
    }
    return {**chained, "digest": digest(chained)}
