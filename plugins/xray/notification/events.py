"""What the names of events mean: new content, a removal, or a change that asks for no case.

Sources: "Supported event types for SQS, SNS, and Lambda" of AWS S3, "S3 Bucket Notifications
Compatibility" of Ceph, ``internal/event/name.go`` of MinIO and ``s3event/filter.go`` of versitygw.
"""

from __future__ import annotations

import re

_CREATED = "ObjectCreated:"
_REMOVED = "ObjectRemoved:"
_CREATED_BY_SYNC = {"ObjectSynced:Create", "Replication:Create"}
"""Events of Ceph at the other site of a multisite setup; the second name is the newer one."""
_REMOVED_BY_SYNC = {
    "ObjectSynced:Delete",
    "ObjectSynced:DeletionMarkerCreated",
    "Replication:Delete",
    "Replication:DeletionMarkerCreated",
}
_PROPERTIES = re.compile(
    "tagging|retention|legalhold|acl$|metadata|attributes|annotation|^delete|^initiate|^uploadpart",
    re.IGNORECASE,
)
"""Finds the ``ObjectCreated`` events without new content, such as MinIO's ``PutTagging``."""
_FOLDER_SUFFIXES = ("/", "_$folder$")
"""The ends of the keys under which consoles, SDKs and Hadoop keep an empty object for a folder."""


def reason_to_skip(event: str) -> str | None:
    """Return why an event asks for no case; None if it announces new content.

    An ``ObjectCreated`` event of an unknown name counts as new content, so that no image is missed.

    Args:
        event: its name, without the prefix ``s3:``.
    """
    if event in _CREATED_BY_SYNC:
        return None
    if not event.startswith(_CREATED):
        return "not an object's creation"
    if _PROPERTIES.search(event.removeprefix(_CREATED)):
        return "a change of an object's properties, such as its tags, and not of its content"
    return None


def is_removal(event: str) -> bool:
    """Return whether an event announces that an object, or a version of it, was removed.

    Args:
        event: its name, without the prefix ``s3:``.
    """
    return event.startswith(_REMOVED) or event in _REMOVED_BY_SYNC


def is_folder_marker(key: str, size: int | None) -> bool:
    """Return whether an object only stands for a folder.

    Args:
        key: of the object.
        size: in bytes; None, if it is not known, counts as 0: MinIO leaves a size of 0 out.
    """
    return not size and key.endswith(_FOLDER_SUFFIXES)
