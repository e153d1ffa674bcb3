"""Objects on any S3 store, with this package's errors.

Every failure of the store becomes an error of :mod:`xray.errors`: permanent,
passing, or blocked until a person has mended the deployment. Its sentence names
the operation and the bucket, and never the object key, which is patient data.

Source: the Amazon S3 API Reference, whose operations and conditional requests
the methods of :class:`ObjectStore` are named after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xray.errors import (
    BlockedError,
    ConflictError,
    ForbiddenError,
    ImageError,
    ImageFault,
    NotFoundError,
    TransientError,
    XrayError,
)
from xray.store_errors import CONNECTION, PreconditionError, UnclearError, store_error


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object with its bytes."""

    data: bytes
    etag: str
    """Without quotes."""
    version_id: str | None
    sha256: str
    modified: datetime
    content_type: str
    metadata: Mapping[str, str]
    """The object's own metadata; names in lower case."""


@dataclass(frozen=True, slots=True)
class ObjectStream:
    """An object that is read in chunks."""

    content_type: str
    size: int
    """In bytes."""
    chunks: Iterator[bytes]
    """Raises TransientError if the store stops answering."""
    close: Callable[[], None]
    """Closes the connection; to be called at the end, also if not all chunks were read."""


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """An object's metadata, without its bytes."""

    etag: str
    """Without quotes."""
    metadata: Mapping[str, str]
    """The object's own metadata; names in lower case."""
    version_id: str | None
    modified: datetime
    size: int
    """In bytes."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object in a listing."""

    key: str
    etag: str
    """Without quotes."""
    size: int
    """In bytes."""
    modified: datetime


@dataclass(frozen=True, slots=True)
class Folder:
    """A part of a listing: the objects and the folders directly in a folder."""

    folders: list[str]  # Their prefixes, which end with a slash.
    objects: list[ListedObject]
    next: str | None  # Begins the next part; None if this is the last one.


class ObjectStore:
    """An S3 client that raises this package's errors.

    Args:
        client: a boto3 S3 client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        max_bytes: int | None = None,
    ) -> StoredObject:
        """Get an object: this version of it, or else the one with this etag, or else the newest.

        Raises:
            NotFoundError: there is no such object.
            TransientError: the store cannot answer now.
            ObjectError: the object was replaced, or is archived.
            BlockedError: a person has to mend the deployment, such as the access key.
            ImageError: the object has more than ``max_bytes`` bytes.
        """
        with _translated("reading from", bucket):
            answer = self._client.get_object(Bucket=bucket, Key=key, **_pin(version_id, etag))
            if max_bytes is not None and answer["ContentLength"] > max_bytes:
                answer["Body"].close()
                raise ImageError(
                    f"The object has {answer['ContentLength']} bytes; the limit max_bytes is "
                    f"{max_bytes}.",
                    fault=ImageFault.TOO_LARGE,
                )
            data = answer["Body"].read()
        return StoredObject(
            data=data,
            etag=answer["ETag"].strip('"'),
            version_id=answer.get("VersionId"),
            sha256=hashlib.sha256(data).hexdigest(),
            modified=answer["LastModified"],
            content_type=answer["ContentType"],
            metadata=answer["Metadata"],
        )

    def stream(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        chunk_size: int = 2**18,
    ) -> ObjectStream:
        """Open an object, as :meth:`get` chooses it, to be read in chunks of ``chunk_size`` bytes.

        Raises:
            NotFoundError: there is no such object.
            ObjectError, BlockedError, TransientError: see :mod:`xray.store_errors`.
        """
        with _translated("reading from", bucket):
            answer = self._client.get_object(Bucket=bucket, Key=key, **_pin(version_id, etag))
        body = answer["Body"]

        def chunks() -> Iterator[bytes]:
            with _translated("reading from", bucket):
                yield from body.iter_chunks(chunk_size)

        return ObjectStream(
            answer.get("ContentType", ""), answer["ContentLength"], chunks(), body.close
        )

    def head(self, bucket: str, key: str) -> ObjectHead | None:
        """Get an object's metadata; None if there is no such object.

        Raises:
            ObjectError, BlockedError, TransientError: see :mod:`xray.store_errors`.
        """
        try:
            with _translated("reading from", bucket):
                answer = self._client.head_object(Bucket=bucket, Key=key)
        except NotFoundError:
            return None
        return ObjectHead(
            etag=answer["ETag"].strip('"'),
            metadata=answer["Metadata"],
            version_id=answer.get("VersionId"),
            modified=answer["LastModified"],
            size=answer["ContentLength"],
        )

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        once: bool = False,
        over: str | None = None,
    ) -> str:
        """Write an object, and return its etag.

        Not all stores honour a condition, and some refuse one that holds where versions are kept:
        see docs/object-stores.md, and :func:`xray.conditions.probe`.

        Args:
            bucket, key, data: the object.
            content_type: its media type.
            metadata: the object's own metadata.
            once: write it only if there is no object under the key.
            over: write it only over the object that has this etag.

        Raises:
            ConflictError: the condition does not hold. The object may still be the one that was
                to be written: if the answer is lost, the client repeats the request, and the
                store refuses the repetition. The caller has to look at the object again.
            ObjectError, BlockedError, TransientError: see :mod:`xray.store_errors`.
        """
        # Without quotes: Ceph compares the value as it is.
        condition = {"IfNoneMatch": "*"} if once else {"IfMatch": over} if over else {}
        try:
            with _translated("writing to", bucket):
                answer = self._client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=data,
                    ContentType=content_type,
                    Metadata=dict(metadata or {}),
                    **condition,
                )
        except PreconditionError as error:
            raise _conflict(bucket) from error
        except NotFoundError as error:
            if over:
                raise _conflict(bucket) from error
            raise
        except (ForbiddenError, UnclearError) as error:
            # When another write wins, Ceph may answer 500; for a locked object, versitygw answers
            # 403. In both cases nothing was written.
            if condition and self._differs(bucket, key, over):
                raise _conflict(bucket) from error
            raise
        return str(answer["ETag"]).strip('"')

    def _differs(self, bucket: str, key: str, etag: str | None) -> bool:
        """Return whether the store says that the object has another etag; None for no object."""
        try:
            head = self.head(bucket, key)
        except XrayError:
            return False
        return (head.etag if head else None) != etag

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        """Delete an object, if there is one under the key.

        Args:
            bucket, key: the object.
            etag: delete the object only if it has this etag. Stores that do not know this
                condition, such as MinIO, delete any object: see docs/object-stores.md.

        Raises:
            ConflictError: the object has another etag.
            ObjectError, BlockedError, TransientError: see :mod:`xray.store_errors`.
        """
        condition = {"IfMatch": etag} if etag else {}
        try:
            with _translated("deleting from", bucket):
                self._client.delete_object(Bucket=bucket, Key=key, **condition)
        except PreconditionError as error:
            raise _conflict(bucket) from error
        except UnclearError as error:
            if etag:
                raise _conflict(bucket) from error
            raise
        except NotFoundError:
            return

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        """List the objects whose keys start with ``prefix``, in the order of their keys.

        Raises:
            ObjectError, BlockedError, TransientError: see :mod:`xray.store_errors`.
        """
        with _translated("listing", bucket):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            ):
                for item in page.get("Contents", ()):
                    yield _listed(item)

    def folder(
        self, bucket: str, prefix: str = "", *, most: int = 1000, after: str | None = None
    ) -> Folder:
        """List the objects and the folders directly under ``prefix``; raise as :meth:`list` does.

        Args:
            bucket, prefix: the folder; the prefix ends with a slash unless it is empty.
            most, after: the length of the part, and the ``next`` of the part before.
        """
        begin = {"ContinuationToken": after} if after else {}
        with _translated("listing", bucket):
            answer = self._client.list_objects_v2(
                Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=most, **begin
            )
        return Folder(
            [one["Prefix"] for one in answer.get("CommonPrefixes", ())],
            [_listed(item) for item in answer.get("Contents", ())],
            answer.get("NextContinuationToken"),
        )


def _listed(item: Mapping[str, Any]) -> ListedObject:
    return ListedObject(item["Key"], item["ETag"].strip('"'), item["Size"], item["LastModified"])


def _pin(version_id: str | None, etag: str | None) -> dict[str, str]:
    """Return the arguments that ask for this version of an object, or else for this etag."""
    by_etag = {"IfMatch": f'"{etag}"'} if etag else {}
    return {"VersionId": version_id} if version_id else by_etag


def _conflict(bucket: str) -> ConflictError:
    return ConflictError(f"An object in {bucket} is not what it was when it was looked at.")


@contextmanager
def _translated(operation: str, bucket: str) -> Iterator[None]:
    """Raise the store's failures as this package's, without botocore's text: it may quote a key.

    Args:
        operation: in words that the bucket's name may follow.
        bucket: the bucket.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        PartialCredentialsError,
    )

    try:
        yield
    except ClientError as error:
        raise store_error(error.response, operation, bucket) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise BlockedError(f"There are no S3 credentials: set them in {CONNECTION}.") from None
    except (BotoCoreError, OSError) as error:
        raise TransientError(
            f"The store did not answer when {operation} {bucket} ({type(error).__name__})."
        ) from None
