"""What the errors of an S3 store mean: gone for good, passing, or for a person to mend.

Sources: "Error responses" of the Amazon S3 API Reference, ``rgw_common.cc`` of Ceph,
``cmd/api-errors.go`` of MinIO and ``s3err/s3err.go`` of versitygw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xray.errors import (
    BlockedError,
    ForbiddenError,
    NotFoundError,
    ObjectError,
    TransientError,
    XrayError,
)

_NOT_FOUND = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}
_PRECONDITION_FAILED = {"412", "PreconditionFailed"}
_UNDER_WAY = {"ConditionalRequestConflict", "OperationAborted"}
_UNKNOWN = {"UnknownError"}
_NO_BUCKET = {"NoSuchBucket"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "RestoreAlreadyInProgress"}
_ARCHIVED = {"InvalidObjectState"}
_FORBIDDEN = {"401", "403", "AccessDenied", "AllAccessDisabled", "AccountProblem"}
_KEYS = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UserSuspended",
}
_CLOCK = {"RequestExpired", "RequestTimeTooSkewed"}
_FULL = {
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_ADDRESS = {"301", "AuthorizationHeaderMalformed", "PermanentRedirect"}
_NO_REASON = {"400"}
"""The answer to a HEAD has no body. AWS answers an expired token with this status, for example."""
CONNECTION = "the Airflow connection of the store"
"""Where a person corrects keys, region and endpoint, in words."""


class PreconditionError(ObjectError):
    """The condition of a request does not hold."""


class UnclearError(TransientError):
    """Another request about the object may have been faster."""


def store_error(response: Mapping[str, Any], operation: str, bucket: str) -> XrayError:
    """Return this package's error for the store's error ``response``."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _NOT_FOUND:
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return NotFoundError(
            f"The object is not in {bucket}.",
            deleted=headers.get("x-amz-delete-marker") == "true",
        )
    if code in _PRECONDITION_FAILED:
        return PreconditionError(
            f"The object in {bucket} was replaced since its notification: the newer upload has "
            "a case of its own."
        )
    if code in _ARCHIVED:
        return ObjectError(
            f"The object in {bucket} is archived, so that it cannot be read: restore it from the "
            "archive, then clear the case's run."
        )
    if sentence := _to_mend(code, operation, bucket):
        return BlockedError(sentence)
    if code in _FORBIDDEN or status in (401, 403):
        return ForbiddenError(
            f"The store forbids {operation} {bucket}: check the permissions, and the access key, "
            f"of {CONNECTION}."
        )
    if status == 429 or status >= 500 or code in _BUSY | _UNDER_WAY:
        kind = UnclearError if code in _UNKNOWN | _UNDER_WAY else TransientError
        return kind(f"The store is not available for {operation} {bucket} now ({code or status}).")
    return ObjectError(f"The store refuses {operation} {bucket} ({code or status}).")


def _to_mend(code: str, operation: str, bucket: str) -> str:
    """Return what a person has to mend in the deployment; the empty string for other codes."""
    if code in _NO_BUCKET:
        return f"The bucket {bucket} does not exist: create it."
    request = f"The store refuses {operation} {bucket} ({code})"
    if code in _KEYS:
        return f"{request}: correct the access key and the secret key of {CONNECTION}."
    if code in _CLOCK:
        return f"{request}: set the clock of the worker, or that of the store, right."
    if code in _FULL:
        return f"{request}: it is full, or its quota is used up. Make room."
    if code in _ADDRESS:
        return f"{request}: correct the region and the endpoint of {CONNECTION}."
    if code.startswith("KMS."):
        return f"{request}: check the encryption key of the bucket, and the right to use it."
    if code in _NO_REASON:
        return f"{request} without a reason: check the keys, region and endpoint of {CONNECTION}."
    return ""
