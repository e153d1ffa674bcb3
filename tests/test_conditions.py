"""xray.conditions, on an S3 server that honours all conditions, and on others made of it"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from xray.conditions import Conditions, audit_sentences, creates_once, probe, sentences
from xray.errors import BlockedError
from xray.storage import ObjectStore

BUCKET = "xray-data-in-manifests"
ALL = Conditions(
    create_once=True, compare_and_set=True, conditional_delete=True, deleted_is_absent=True
)
KEEPS_VERSIONS = {"Status": "Enabled"}


class Client:
    """A client of a store that ignores some conditions, and refuses others though they hold.

    Args:
        s3: the client of the store that honours them all.
        ignored: operation and condition.
        refused: a condition of ``put_object``.
    """

    def __init__(self, s3: Any, *ignored: tuple[str, str], refused: str | None = None) -> None:
        self._s3, self._ignored, self._refused = s3, ignored, refused

    def __getattr__(self, operation: str) -> Any:
        def call(*names: str, **arguments: Any) -> Any:
            for name, condition in self._ignored:
                if name == operation:
                    arguments.pop(condition, None)
            if operation == "put_object" and self._refused in arguments:
                raise ClientError({"Error": {"Code": "PreconditionFailed"}}, operation)
            return getattr(self._s3, operation)(*names, **arguments)

        return call


@pytest.mark.parametrize("versions", [False, True])
def test_a_store_honours_them_all(s3: Any, store: ObjectStore, versions: bool) -> None:
    if versions:
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=KEEPS_VERSIONS)
    conditions = probe(store, BUCKET)
    assert conditions == ALL
    assert sentences(conditions, BUCKET) == []
    assert list(store.list(BUCKET)) == []


CREATE, SET, DELETE = (
    ("put_object", "IfNoneMatch"),
    ("put_object", "IfMatch"),
    ("delete_object", "IfMatch"),
)


@pytest.mark.parametrize(
    ("ignored", "missing", "sentence"),
    [
        (CREATE, {"create_once"}, "in spite of If-None-Match: two cases"),
        (SET, {"compare_and_set"}, "does not honour If-Match for a write"),
        (DELETE, {"conditional_delete"}, "until the case is run again"),
    ],
)
def test_what_a_store_ignores_is_found(
    s3: Any, ignored: tuple[str, str], missing: set[str], sentence: str
) -> None:
    store = ObjectStore(Client(s3, ignored))
    conditions = probe(store, BUCKET)
    assert {name for name, honoured in conditions.to_json().items() if not honoured} == missing
    said = sentences(conditions, BUCKET)
    assert len(said) == len(missing)
    assert sentence in said[0]
    assert all(BUCKET in one for one in said)
    assert list(store.list(BUCKET)) == []


def test_a_store_that_refuses_conditions_that_hold_is_found(s3: Any) -> None:
    """Ceph with versions: it ignores the one condition, and refuses the other always."""
    store = ObjectStore(Client(s3, CREATE, DELETE, refused="IfMatch"))
    conditions = probe(store, BUCKET)
    assert conditions == Conditions(
        create_once=False, compare_and_set=False, conditional_delete=False, deleted_is_absent=True
    )
    said = " ".join(sentences(conditions, BUCKET))
    assert "cases fail if it refuses the condition though it holds" in said
    assert f"Switch versions off for {BUCKET}" in said


def test_a_store_that_creates_nothing_is_found(s3: Any) -> None:
    store = ObjectStore(Client(s3, refused="IfNoneMatch"))
    conditions = probe(store, BUCKET)
    assert (conditions.create_once, conditions.deleted_is_absent) == (False, False)
    assert "takes a deleted object" in sentences(conditions, BUCKET)[1]


def test_a_store_that_takes_a_deleted_object_as_present_is_found(s3: Any) -> None:
    """versitygw with versions: a condition that is about a deleted object."""

    class Remembering(Client):
        def put_object(self, **arguments: Any) -> Any:
            if deleted:
                arguments = {k: v for k, v in arguments.items() if k != "IfMatch"}
            return s3.put_object(**arguments)

        def delete_object(self, **arguments: Any) -> Any:
            answer = s3.delete_object(**arguments)
            deleted.append(True)
            return answer

    deleted: list[bool] = []
    conditions = probe(ObjectStore(Remembering(s3)), BUCKET)
    assert conditions == replace(ALL, deleted_is_absent=False)
    (said,) = sentences(conditions, BUCKET)
    assert "takes a deleted object" in said


def test_a_missing_bucket_is_an_error(store: ObjectStore) -> None:
    with pytest.raises(BlockedError, match="nowhere does not exist"):
        probe(store, "nowhere")
    with pytest.raises(BlockedError, match="nowhere does not exist"):
        creates_once(store, "nowhere")


def test_an_audit_bucket_is_tried_without_a_delete(s3: Any) -> None:
    class NoDelete(Client):
        delete_object = None

    honest, careless = ObjectStore(NoDelete(s3)), ObjectStore(NoDelete(s3, CREATE))
    assert creates_once(honest, BUCKET) is None, "there is nothing to try it with"
    honest.put(BUCKET, "a record", b"{}", content_type="application/json")
    before = honest.get(BUCKET, "a record")
    assert creates_once(honest, BUCKET) is True
    assert creates_once(careless, BUCKET) is False
    assert [entry.key for entry in honest.list(BUCKET)] == ["a record"]
    after = honest.get(BUCKET, "a record")
    assert (after.data, after.content_type) == (before.data, before.content_type)
    assert audit_sentences(True, BUCKET) == audit_sentences(None, BUCKET) == []
    (said,) = audit_sentences(False, BUCKET)
    assert "has read its record back" in said
    assert BUCKET in said
