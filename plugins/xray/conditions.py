"""Which conditional requests a bucket honours.

Cases of the same object, and writers of the same audit trail, rely on the store to
refuse a write or a delete whose condition does not hold. Stores differ in this, and
some differ between buckets with and without versions: see docs/object-stores.md.
:func:`probe` tries it, and :func:`sentences` says what follows.

Source: the Amazon S3 User Guide, "Conditional requests".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from uuid import uuid4

from xray.errors import ConflictError
from xray.storage import ObjectStore

_FOLDER = "probe"
"""The folder of the objects that try a bucket."""
_NEVER = "0" * 32
"""The etag of no object here."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which conditional requests a bucket honours."""

    create_once: bool
    """``If-None-Match: *`` refuses to write over an object."""
    compare_and_set: bool
    """``If-Match`` writes over the very object, and over no other."""
    conditional_delete: bool
    """``If-Match`` deletes the very object, and no other."""
    deleted_is_absent: bool
    """The conditions take a deleted object as absent, whatever versions of it are kept."""

    def to_json(self) -> dict[str, bool]:
        """Return the fields by name."""
        return asdict(self)


def probe(store: ObjectStore, bucket: str) -> Conditions:
    """Find out which conditional requests a bucket honours, with an object that is removed again.

    The account needs to write, read and delete. Where versions are kept, those of the object stay.

    Raises:
        ObjectError, TransientError: the store refuses a request without a condition, or cannot
            answer now.
    """
    key = f"{_FOLDER}/{uuid4().hex}"
    try:
        return _probe(store, bucket, key)
    finally:
        store.delete(bucket, key)


def creates_once(store: ObjectStore, bucket: str) -> bool | None:
    """Find out whether a bucket refuses to write over an object; None if it has no object yet.

    For the audit bucket, where nothing but records may be. The first object is written again as it
    is, so that nothing changes even if the store does not refuse.

    Raises:
        ObjectError, TransientError: the store refuses a request, or cannot answer now.
    """
    first = next(iter(store.list(bucket)), None)
    if first is None:
        return None
    stored = store.get(bucket, first.key)
    return not _accepts(
        lambda: store.put(
            bucket,
            first.key,
            stored.data,
            content_type=stored.content_type,
            metadata=stored.metadata,
            once=True,
        )
    )


def sentences(conditions: Conditions, bucket: str) -> list[str]:
    """Return what a bucket of manifests lacks, what follows for cases, and what to do.

    Args:
        conditions: what the bucket honours.
        bucket: the bucket.
    """
    found = []
    remedy = f"Switch versions off for {bucket}, or use a store that honours the conditions."
    if not conditions.create_once:
        found.append(
            f"The store writes over an object in {bucket} in spite of If-None-Match: two cases of "
            f"one object that end at the same moment may overwrite each other. {remedy}"
        )
    if not conditions.compare_and_set:
        found.append(
            f"The store does not honour If-Match for a write to {bucket}: cases fail if it "
            "refuses the condition though it holds; otherwise two cases of one object that end "
            f"at the same moment may overwrite each other. {remedy}"
        )
    if not conditions.deleted_is_absent:
        found.append(
            f"The store takes a deleted object in {bucket} as present: the cases of a new upload "
            f"fail if xray_forget has deleted an earlier upload of that object. {remedy}"
        )
    if not conditions.conditional_delete:
        found.append(
            f"The store deletes from {bucket} in spite of If-Match: after a rare race between two "
            "cases of one object, an output may be missing or out of date until the case is run "
            "again. Use a store that honours If-Match for a delete if that must not happen."
        )
    return found


def audit_sentences(once: bool | None, bucket: str) -> list[str]:
    """Return what an audit bucket lacks, what follows, and what to do.

    Args:
        once: whether the bucket refuses to write over an object; None if that could not be tried.
        bucket: the bucket.
    """
    if once is not False:
        return []
    return [
        f"The store writes over an object in {bucket} in spite of If-None-Match: two writers of "
        "one audit trail may overwrite each other's record, and a writer notices that only until "
        f"it has read its record back. Switch versions off for {bucket}, or use a store that "
        "honours If-None-Match."
    ]


def _probe(store: ObjectStore, bucket: str, key: str) -> Conditions:
    """Try all conditional requests on an object that is not there yet."""

    def write(*, once: bool = False, over: str | None = None) -> bool:
        return _accepts(lambda: _put(store, bucket, key, uuid4().bytes, once=once, over=over))

    created = write(once=True)
    create_once = created and not write(once=True)
    # Whatever happened to the conditions, the object is there now.
    _put(store, bucket, key, b"looked at")
    other_refused = not write(over=_NEVER)
    etag = _put(store, bucket, key, b"looked at")
    compare_and_set = other_refused and write(over=etag)
    etag = _put(store, bucket, key, b"looked at")
    refused = not _accepts(lambda: store.delete(bucket, key, etag=_NEVER))
    kept = store.head(bucket, key) is not None
    conditional_delete = refused and kept and _accepts(lambda: store.delete(bucket, key, etag=etag))
    store.delete(bucket, key)
    gone_is_matched = compare_and_set and write(over=etag)
    store.delete(bucket, key)
    return Conditions(
        create_once=create_once,
        compare_and_set=compare_and_set,
        conditional_delete=conditional_delete,
        deleted_is_absent=not gone_is_matched and write(once=True),
    )


def _put(
    store: ObjectStore,
    bucket: str,
    key: str,
    data: bytes,
    *,
    once: bool = False,
    over: str | None = None,
) -> str:
    return store.put(bucket, key, data, content_type="text/plain", once=once, over=over)


def _accepts(request: Callable[[], object]) -> bool:
    """Return whether the store accepts a request with a condition."""
    try:
        request()
    except ConflictError:
        return False
    return True
