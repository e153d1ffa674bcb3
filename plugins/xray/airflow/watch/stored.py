"""What the object store says: which cases wait for a person, and how old things are.

Only listings are read, and no object. The marker of a waiting case is written when the case
begins to wait, so the time of that object is the time since which the case has waited.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

from xray import audit
from xray.case import Buckets
from xray.case.manifest import WAITING_PREFIX
from xray.storage import ListedObject, ObjectStore

MOST_LISTED = 50_000
"""Objects of a listing that are counted at most: 50 requests."""


def waiting(store: ObjectStore, buckets: Buckets, kind: str, now: datetime) -> dict[str, float]:
    """Return how many cases wait for a person, and for how long the oldest has waited.

    Args:
        store: the object store.
        buckets: the buckets of the cases.
        kind: what the person is asked: ``review`` or ``release``.
        now: the present time.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    number, age = _number_and_age(store.list(buckets.manifests, f"{WAITING_PREFIX}{kind}/"), now)
    return {f"waiting.{kind}": number, f"waiting.{kind}_age": age}


def staging(store: ObjectStore, buckets: Buckets, now: datetime) -> dict[str, float]:
    """Return the age of the oldest staged object, in seconds; 0 if there is none.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    return {"staging.age": _number_and_age(store.list(buckets.staging), now)[1]}


def checkpoint(store: ObjectStore, buckets: Buckets, now: datetime) -> dict[str, float]:
    """Return the age of the newest checkpoint, in seconds; nothing if there is none.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    listed = store.list(buckets.audit, audit.CHECKPOINTS)
    times = (entry.modified for entry in listed if audit.is_checkpoint_name(entry.key))
    newest = max(times, default=None)
    return {} if newest is None else {"audit.checkpoint_age": _age(newest, now)}


def _number_and_age(listed: Iterable[ListedObject], now: datetime) -> tuple[int, float]:
    """Return the number of objects, and the age of the oldest in seconds, without keeping them."""
    number, oldest = 0, now
    for entry in islice(listed, MOST_LISTED):
        number += 1
        oldest = min(oldest, entry.modified)
    return number, _age(oldest, now)


def _age(time: datetime, now: datetime) -> float:
    """Return an age in seconds; 0 if the clock of the store is ahead of this one."""
    return max(0.0, (now - time).total_seconds())
