"""Objects: pinned reads, staged and published writes, on any S3.

Every failure of the store becomes one of this package's two kinds, with a
sentence that names the operation and the bucket, never the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xray.errors import ImageError, NotFoundError, ObjectError, TransientError

_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}
_REPLACED = {"412", "PreconditionFailed", "ConditionalRequestConflict"}
_FORBIDDEN = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_NO_BUCKET = {"NoSuchBucket"}


class AlreadyExistsError(ObjectError):
    """An object that may be created only once exists."""


@dataclass(frozen=True, slots=True)
class Content:
    """An object that was read, and what makes it that one."""

    data: bytes
    etag: str
    """Without quotes."""
    version_id: str | None
    sha256: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """What the store says of an object without its bytes."""

    etag: str
    """Without quotes."""
    metadata: Mapping[str, str]
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a listing."""

    key: str
    etag: str
    size: int
    """Bytes."""
    modified: datetime


class ObjectStore:
    """An S3 client, with this package's errors.

    Args:
        client: a boto3 S3 client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        max_bytes: int | None = None,
    ) -> Content:
        """The object, if it is still the one with this version or etag.

        Raises:
            NotFoundError: there is no such object.
            TransientError: the store cannot answer now.
            ObjectError: it was replaced, or may not be read.
            ImageError: it has more than ``max_bytes`` bytes.
        """
        which: dict[str, str] = {}
        if version_id:
            which["VersionId"] = version_id
        elif etag:
            which["IfMatch"] = f'"{etag}"'
        with _translated("read", bucket):
            answer = self._client.get_object(Bucket=bucket, Key=key, **which)
            if max_bytes is not None and answer["ContentLength"] > max_bytes:
                answer["Body"].close()
                raise ImageError(
                    f"The object has {answer['ContentLength']} bytes; the limit max_bytes is "
                    f"{max_bytes}."
                )
            data = answer["Body"].read()
        return Content(
            data,
            answer["ETag"].strip('"'),
            answer.get("VersionId"),
            _sha256(data),
            answer["LastModified"],
        )

    def head(self, bucket: str, key: str) -> Head | None:
        """What is known of an object; None if there is none.

        Raises:
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        try:
            with _translated("read", bucket):
                answer = self._client.head_object(Bucket=bucket, Key=key)
        except NotFoundError:
            return None
        return Head(answer["ETag"].strip('"'), answer["Metadata"])

    def write(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> None:
        """Write an object; with ``once``, only if there is none.

        Raises:
            AlreadyExistsError: ``once``, and there is one.
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        condition = {"IfNoneMatch": "*"} if once else {}
        try:
            with _translated("write", bucket):
                self._client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=data,
                    ContentType=content_type,
                    Metadata=dict(metadata or {}),
                    **condition,
                )
        except _Replaced as error:
            raise AlreadyExistsError(
                f"An object that is written once exists in {bucket}."
            ) from error

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; it is no error if there is none."""
        with _translated("delete", bucket):
            self._client.delete_object(Bucket=bucket, Key=key)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Entry]:
        """The objects under ``prefix``, page by page, in the order of their keys.

        Raises:
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        with _translated("list", bucket):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            ):
                for item in page.get("Contents", ()):
                    yield Entry(
                        item["Key"], item["ETag"].strip('"'), item["Size"], item["LastModified"]
                    )


class _Replaced(ObjectError):
    pass


@contextmanager
def _translated(operation: str, bucket: str) -> Iterator[None]:
    """The store's failures as this package's, without the key that botocore may quote."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        raise _meaning(error.response, operation, bucket) from None
    except NoCredentialsError:
        raise ObjectError(
            "There are no S3 credentials: set them in the Airflow connection."
        ) from None
    except (BotoCoreError, OSError) as error:
        raise TransientError(
            f"The store could not {operation} an object of {bucket} ({type(error).__name__})."
        ) from None


def _meaning(response: Mapping[str, Any], operation: str, bucket: str) -> Exception:
    """What the store's error ``response`` means here."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _NO_BUCKET:
        return ObjectError(f"The bucket {bucket} does not exist: create it.")
    if code in _GONE:
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return NotFoundError(
            f"The object is not in {bucket}.",
            deleted=headers.get("x-amz-delete-marker") == "true",
        )
    if code in _REPLACED:
        return _Replaced(
            f"The object in {bucket} was replaced since its notification: the newer upload has "
            "a case of its own."
        )
    if code in _FORBIDDEN or status in (401, 403):
        return ObjectError(
            f"The store forbids to {operation} in {bucket}: check the rights of the Airflow "
            "connection's account."
        )
    if status == 429 or status >= 500 or code in ("SlowDown", "RequestTimeout", "Throttling"):
        return TransientError(f"The store cannot {operation} in {bucket} now ({code or status}).")
    return ObjectError(f"The store refuses to {operation} in {bucket} ({code or status}).")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
