"""The audit trail: one record per attempt of a case, created once, never overwritten.

A record is JSON at ``<case id>/<attempt>.json`` in the audit bucket. It names
the object, so the bucket is as confidential as the images are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from xray.storage import AlreadyThere, ObjectStore

SCHEMA = 1
"""Version of a record's form."""


def append(store: ObjectStore, bucket: str, case_id: str, record: Mapping[str, Any]) -> int:
    """Write ``record`` as the case's next attempt; returns the attempt's number, from 1.

    Two writers at once get two numbers: the store refuses the second one's first choice.

    Raises:
        ObjectError, PassingError: the store refuses, or cannot answer now.
    """
    attempt = 1 + sum(1 for _ in store.list(bucket, f"{case_id}/"))
    while True:
        whole = {
            "schema": SCHEMA,
            "case_id": case_id,
            "attempt": attempt,
            "recorded_at": datetime.now(UTC).isoformat(),
            **record,
        }
        try:
            store.write(
                bucket,
                f"{case_id}/{attempt:05d}.json",
                json.dumps(whole, indent=2, ensure_ascii=False).encode(),
                content_type="application/json",
                once=True,
            )
            return attempt
        except AlreadyThere:
            attempt += 1


def records(store: ObjectStore, bucket: str, case_id: str) -> list[dict[str, Any]]:
    """The case's records, oldest first."""
    return [
        json.loads(store.read(bucket, entry.key).data)
        for entry in store.list(bucket, f"{case_id}/")
    ]
