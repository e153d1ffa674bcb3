"""xray.notification.events: which events start a case"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.messages import item, message
from xray.notification import parse


def created(event: str = "ObjectCreated:Put", source: str = "minio:s3", **changes: Any) -> bytes:
    """A message about one object, whose properties ``changes`` replaces; None leaves one out."""
    one = item("a.jpeg", source, event)
    one["s3"]["object"] |= changes
    for name in [name for name, value in changes.items() if value is None]:
        del one["s3"]["object"][name]
    return message(one)


CREATIONS = [
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "ObjectSynced:Create",  # Ceph, at the other site
    "s3:Replication:Create",  # Ceph 20 has this name for it, too
    "ObjectCreated:RenameObject",  # One that is not known yet: better a case too many than none
]
"""Events that announce new content."""


@pytest.mark.parametrize("event", CREATIONS)
def test_new_content_asks_for_a_case(event: str) -> None:
    notification = parse(created(event))
    assert [record.event for record in notification.records] == [event.removeprefix("s3:")]
    assert notification.skipped == ()


OTHER_EVENTS = [
    "s3:ObjectCreated:PutTagging",  # MinIO has these four
    "s3:ObjectCreated:DeleteTagging",
    "s3:ObjectCreated:PutRetention",
    "s3:ObjectCreated:PutLegalHold",
    "s3:ObjectCreated:PutObjectTagging",
    "s3:ObjectCreated:PutAcl",
    "s3:ObjectCreated:PutACL",
    "s3:ObjectCreated:InitiateMultipartUpload",
    "s3:ObjectAccessed:Get",
    "s3:ObjectAccessed:Head",
    "s3:ObjectTransition:Complete",
    "s3:BucketCreated:*",
    "s3:Scanner:ManyVersions",
    "s3:Replication:OperationCompletedReplication",
    "Replication:OperationReplicatedAfterThreshold",  # AWS
    "ObjectTagging:Put",
    "ObjectTagging:Delete",
    "ObjectAcl:Put",
    "ObjectRestore:Post",
    "ObjectRestore:Completed",
    "ObjectRestore:Delete",
    "LifecycleTransition",
    "LifecycleExpiration:Delete",
    "IntelligentTiering",
    "ReducedRedundancyLostObject",
    "ObjectSynced:Delete",  # Ceph
    "ObjectSynced:DeletionMarkerCreated",
    "Replication:Delete",
    "ObjectLifecycle:Transition:Current",
    "ObjectLifecycle:Expiration:AbortMultipartUpload",
    "ObjectRemoved:DeleteObjects",  # versitygw
]
"""Events of AWS, Ceph, MinIO and versitygw that announce no new content."""


@pytest.mark.parametrize("event", OTHER_EVENTS)
def test_an_event_without_new_content_asks_for_no_case(event: str) -> None:
    notification = parse(created(event))
    assert notification.records == ()
    (skipped,) = notification.skipped
    assert skipped.event == event.removeprefix("s3:")
    properties = skipped.event.startswith("ObjectCreated:")
    assert ("properties" in skipped.reason) is properties


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "in/folder/", "size": 0},
        {"key": "in%2Ffolder%2F", "size": None},  # MinIO leaves a size of 0 out
        {"key": "in%2Ffolder_%24folder%24", "size": 0},  # Hadoop
        {"key": "in/folder/", "size": "0"},  # an older Ceph
    ],
)
def test_a_folder_marker_asks_for_no_case(changes: dict[str, Any]) -> None:
    notification = parse(created(**changes))
    assert notification.records == ()
    assert [skipped.reason for skipped in notification.skipped] == ["a folder marker"]


@pytest.mark.parametrize(
    "changes", [{"key": "in/folder/", "size": 5}, {"key": "a.jpeg", "size": 0}, {"size": None}]
)
def test_an_object_with_content_or_a_name_asks_for_a_case(changes: dict[str, Any]) -> None:
    assert len(parse(created(**changes)).records) == 1


@pytest.mark.parametrize("nothing", [b'{"Records": []}', b"[]"])
def test_a_message_without_records_is_skipped(nothing: bytes) -> None:
    notification = parse(nothing)
    assert notification.records == ()
    assert [skipped.reason for skipped in notification.skipped] == ["the message has no records"]


@pytest.mark.parametrize("event", ["ObjectSynced:Delete", "s3:Replication:DeletionMarkerCreated"])
def test_a_deletion_that_was_synchronised_is_a_removal(event: str) -> None:
    (removed,) = parse(message(item("a", event=event))).removed
    assert (removed.key, removed.event) == ("a", event.removeprefix("s3:"))
