"""Parsing bucket notifications: raw Kafka messages in, created and removed objects out.

Five dialects are read: Ceph RGW (old and new), AWS S3, MinIO and versitygw.
They differ in the envelope, in the spelling of the etag, and in whether the
object key is URL-encoded: Ceph and versitygw send it raw, so that decoding
would corrupt a ``+`` or a ``%``; AWS and MinIO send it form-encoded.

Sources: the AWS S3 "Event message structure" documentation, Ceph's "S3 Bucket
Notifications" documentation, and messages received from real gateways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from xray.errors import NotificationError
from xray.notification.events import is_folder_marker, is_removal, reason_to_skip
from xray.settings import KeyDecoding
from xray.suffixes import BucketSuffix

MAX_MESSAGE_BYTES = 1024 * 1024
"""Kafka's default limit of a message."""
MAX_RECORDS = 1000
"""The most records of a message."""
MAX_KEY_BYTES = 1024
"""S3's limit of an object key, in UTF-8."""
MAX_TEXT = 1024
"""The most characters of any other text in a record."""
MAX_SIZE = 2**63 - 1
"""The largest size of an object, in bytes."""
_MAX_EVENT = 64
"""The most characters of an event's name that are kept for a skipped part."""
_VERSITYGW_ARN = re.compile("arn:aws:s3:::/([^/]{1,255})(?:/(.*))?", re.DOTALL)
"""Others write no slash before the bucket, and no key."""


@dataclass(frozen=True, slots=True)
class ObjectCreated:
    """An object that was created, as its notification describes it."""

    bucket: str
    key: str
    version_id: str | None
    etag: str | None
    """Without quotes."""
    size: int | None
    """In bytes."""
    event: str
    """Without the ``s3:`` prefix that some gateways write."""
    sequencer: str | None
    event_time: str | None
    dialect: str
    """``aws``, ``ceph``, ``minio`` or ``versitygw``."""


@dataclass(frozen=True, slots=True)
class ObjectRemoved:
    """An object that was removed, as its notification describes it.

    The object is still there if only an old version of it was removed.
    """

    bucket: str
    key: str
    version_id: str | None
    """Of the version that was removed, or of the delete marker that was created."""
    event: str
    """Without the ``s3:`` prefix that some gateways write."""
    sequencer: str | None
    event_time: str | None
    dialect: str
    """``aws``, ``ceph``, ``minio`` or ``versitygw``."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part of a message that asks for no case, and the reason."""

    reason: str
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """The content of one message."""

    records: tuple[ObjectCreated, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Parts that ask for no case; removals are among them."""
    removed: tuple[ObjectRemoved, ...] = ()
    removal_error: str | None = None
    """Why a removal cannot be read; None if all can be. It matters only to those who follow
    removals."""


class UnreadableError(NotificationError):
    """A message, or a part of it, cannot be read."""

    def __init__(self, reason: str, rest: Notification = Notification()) -> None:
        super().__init__(reason)
        self.rest = rest
        """The parts of the message that can be read."""


def parse(message: bytes | None, *, key_decoding: KeyDecoding = KeyDecoding.AUTO) -> Notification:
    """Return the content of one Kafka message.

    Args:
        message: the value of the message; None for a tombstone.
        key_decoding: how the object keys are encoded.

    Raises:
        UnreadableError: the message is not a bucket notification, or a record of it lacks a
            property that identifies an object. The sentence names the property and never quotes
            the object key. The parts that can be read come with the error.
    """
    if not message:
        return Notification(skipped=(Skipped("tombstone: the message has no value"),))
    items, envelope = _unpack(message)
    if items is None:
        event = str(envelope.get("Event"))[:_MAX_EVENT]
        return Notification(skipped=(Skipped("test event", event),))
    if not items:
        return Notification(skipped=(Skipped("the message has no records"),))
    if len(items) > MAX_RECORDS:
        raise UnreadableError(f"The message has {len(items)} records; at most {MAX_RECORDS}.")
    parts = [_record_or_error(item, envelope, key_decoding) for item in items]
    removals = [_removal_or_error(item, envelope, key_decoding) for item in items]
    unread = [str(one) for one in removals if isinstance(one, NotificationError)]
    notification = Notification(
        records=tuple(part for part in parts if isinstance(part, ObjectCreated)),
        skipped=tuple(part for part in parts if isinstance(part, Skipped)),
        removed=tuple(one for one in removals if isinstance(one, ObjectRemoved)),
        removal_error=unread[0] if unread else None,
    )
    if errors := [part for part in parts if isinstance(part, NotificationError)]:
        # A bad record must not keep its neighbours from their runs.
        raise UnreadableError(str(errors[0]), notification)
    return notification


def _unpack(message: bytes) -> tuple[list[Any] | None, Mapping[str, Any]]:
    """Return the raw records and their envelope; None in place of a test event's records."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise UnreadableError(f"The message has {len(message)} bytes; at most {MAX_MESSAGE_BYTES}.")
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        raise UnreadableError("The message is not JSON in UTF-8.") from None
    if isinstance(document, list):
        return document, {"dialect": "versitygw"}
    if not isinstance(document, dict):
        raise UnreadableError(
            f"The message is a JSON {type(document).__name__}, not an object or an array."
        )
    records = document.get("Records")
    if isinstance(records, list):
        return records, document
    if "Records" not in document and str(document.get("Event")).endswith("TestEvent"):
        return None, document
    raise UnreadableError("The message has no list of Records.")


def _record_or_error(
    item: Any, envelope: Mapping[str, Any], decoding: KeyDecoding
) -> ObjectCreated | Skipped | NotificationError:
    try:
        return _record(item, envelope, decoding)
    except NotificationError as error:
        return error


def _record(
    item: Any, envelope: Mapping[str, Any], decoding: KeyDecoding
) -> ObjectCreated | Skipped:
    """Return the content of one raw record."""
    record = _mapping(item, "record")
    event = _text(record, "eventName", required=True).removeprefix("s3:")
    if reason := reason_to_skip(event):
        return Skipped(reason, event[:_MAX_EVENT])
    bucket, entry = _bucket_and_object(record)
    if bucket.endswith(tuple(BucketSuffix)):
        return Skipped("written by this pipeline itself", event[:_MAX_EVENT])
    dialect = _dialect(record, envelope)
    key, size = _key(entry, dialect, decoding), _size(entry.get("size"))
    if is_folder_marker(key, size):
        return Skipped("a folder marker", event[:_MAX_EVENT])
    return ObjectCreated(
        bucket=bucket,
        key=key,
        version_id=_text(entry, "versionId") or None,
        etag=(_text(entry, "eTag") or _text(entry, "etag")).strip('"') or None,
        size=size,
        event=event,
        sequencer=_text(entry, "sequencer") or None,
        event_time=_text(record, "eventTime") or None,
        dialect=dialect,
    )


def _removal_or_error(
    item: Any, envelope: Mapping[str, Any], decoding: KeyDecoding
) -> ObjectRemoved | NotificationError | None:
    """Return the removal in a raw record; None if it is about another event."""
    event = item.get("eventName") if isinstance(item, dict) else None
    if not isinstance(event, str) or not is_removal(event.removeprefix("s3:")):
        return None
    try:
        return _removal(item, envelope, decoding)
    except NotificationError as error:
        return error


def _removal(
    record: Mapping[str, Any], envelope: Mapping[str, Any], decoding: KeyDecoding
) -> ObjectRemoved | None:
    """Return the removal in a raw record; None if it is about an output of the pipeline."""
    bucket, entry = _bucket_and_object(record)
    if bucket.endswith(tuple(BucketSuffix)):
        return None
    dialect = _dialect(record, envelope)
    return ObjectRemoved(
        bucket=bucket,
        key=_key(entry, dialect, decoding),
        version_id=_text(entry, "versionId") or None,
        event=_text(record, "eventName").removeprefix("s3:"),
        sequencer=_text(entry, "sequencer") or None,
        event_time=_text(record, "eventTime") or None,
        dialect=dialect,
    )


def _bucket_and_object(record: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of the bucket, and the properties of the object.

    versitygw (1.8.0) sends the names after it has answered the request, when a later request may
    have overwritten them in its memory. Its ARN of the bucket is made before, and has both names.
    """
    s3 = _mapping(record.get("s3"), "s3")
    properties = _mapping(s3.get("bucket"), "s3.bucket")
    bucket = _text(properties, "name", required=True)
    entry = _mapping(s3.get("object"), "s3.object")
    if match := _VERSITYGW_ARN.fullmatch(str(properties.get("arn"))):
        bucket, key = match.groups()
        _check_storable("arn", bucket)
        entry = {**entry, "key": key} if key else entry
    return bucket, entry


def _dialect(record: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:
    """Return the dialect of a record."""
    source = record.get("eventSource")
    if source == "minio:s3" or "EventName" in envelope:
        return "minio"
    if source == "ceph:s3":
        return "ceph"
    # versitygw gives AWS as its event source. Only its array without an envelope (older versions)
    # and its upper-case PrincipalId distinguish it.
    identity = record.get("userIdentity")
    if "dialect" in envelope or (isinstance(identity, dict) and "PrincipalId" in identity):
        return "versitygw"
    return "aws"


def _key(entry: Mapping[str, Any], dialect: str, decoding: KeyDecoding) -> str:
    """Return the object's key, decoded as the setting says, or else as the dialect encodes it."""
    key = _text(entry, "key", required=True, max_characters=3 * MAX_KEY_BYTES)
    form_encoded = decoding is KeyDecoding.FORM or (
        decoding is KeyDecoding.AUTO and dialect in ("aws", "minio")
    )
    try:
        if form_encoded:
            key = unquote_plus(key, errors="strict")
    except UnicodeError:
        raise NotificationError("The object key is not valid UTF-8.") from None
    _check_storable("The object key", key)
    length = len(key.encode())
    if length > MAX_KEY_BYTES:
        raise NotificationError(f"The object key has {length} bytes; at most {MAX_KEY_BYTES}.")
    return key


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotificationError(f"{name} is a {type(value).__name__}, not a JSON object.")
    return value


def _text(
    values: Mapping[str, Any],
    name: str,
    *,
    required: bool = False,
    max_characters: int = MAX_TEXT,
) -> str:
    """Return a string property; the empty string if it is absent or null and not ``required``."""
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise NotificationError(f"{name} is a {type(value).__name__}, not a string.")
    if required and not value:
        raise NotificationError(f"{name} is missing or empty.")
    if value and len(value) > max_characters:
        raise NotificationError(f"{name} has {len(value)} characters; at most {max_characters}.")
    _check_storable(name, value or "")
    return value or ""


def _check_storable(name: str, text: str) -> None:
    """Refuse text that no object store and no database can hold."""
    if "\0" in text:
        raise NotificationError(f"{name} contains a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotificationError(f"{name} is not valid UTF-8.") from None


def _size(value: Any) -> int | None:
    """Return a size in bytes. Ceph's documentation shows it as a string."""
    if value in (None, ""):
        return None
    try:
        size = int(value) if isinstance(value, str) else value
    except ValueError:
        size = None
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
        raise NotificationError("size is not a number of bytes.")
    return size
