"""Sending DICOM instances to a PACS by DICOMweb: STOW-RS (PS3.18, section 10.5).

Each instance is sent in a request of its own. A result has the same UID and the same bytes each
time that it is made. So a retry stores nothing twice, and it is no failure if the PACS has the
instance already.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from xray.errors import BlockedError, ObjectError, TransientError, XrayError

CONNECTION = "xray_pacs"
"""The Airflow connection, for the messages of errors."""
NOT_DEFINED = (
    f"The Airflow connection {CONNECTION} is not defined: add it, with the address of the PACS."
)
MEDIA_TYPE = "application/dicom"
_JSON = "application/dicom+json"
_FAILED, _REASON = "00081198", "00081197"
"""Failed SOP Sequence and Failure Reason, as DICOM JSON names them."""
_DUPLICATE = {0x0111, 0xB00E}
"""The PACS has the instance already: PS3.7, section C.5.8, and the code of some cloud archives."""
_PROCESSING = 0x0110
_NOT_AUTHORIZED = 0x0124
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_PASSING = {408, 425, 429}
_NO_SERVICE = {404, 405, 406, 415, 501}
_NO_ROOM = {413, 507}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a PACS to a request."""

    status: int
    body: bytes


Request = Callable[[str, str, bytes, Mapping[str, str]], Answer]
"""Sends a request: method, path below the address of the PACS, body and headers. It raises
TransientError if there is no answer, and BlockedError if the connection is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An instance that a PACS has."""

    instance: str
    """Its SOP Instance UID."""
    sha256: str
    size: int
    """In bytes."""

    def to_record(self) -> dict[str, Any]:
        """Return the audit record's entry."""
        return {"instance": self.instance, "sha256": self.sha256, "size": self.size}


def no_pacs(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Refuse a request: where there is no Airflow, there is no connection."""
    raise BlockedError(NOT_DEFINED)


def send(request: Request, data: bytes) -> Sent:
    """Send an instance, unless the PACS has it already.

    Args:
        request: sends a request to the PACS.
        data: a DICOM file.

    Raises:
        BlockedError: a person has to mend the PACS or the connection first.
        TransientError: the PACS cannot answer now.
        ObjectError: the PACS refuses this instance, and will always do so.
    """
    instance, digest = _instance(data), hashlib.sha256(data).hexdigest()
    boundary = f"xray-{digest}"
    body = b"".join(
        (
            f"--{boundary}\r\nContent-Type: {MEDIA_TYPE}\r\n\r\n".encode(),
            data,
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )
    related = f'multipart/related; type="{MEDIA_TYPE}"; boundary={boundary}'
    answer = request("POST", "studies", body, {"Content-Type": related, "Accept": _JSON})
    if problem := _problem(answer):
        raise problem
    if instance.encode() not in answer.body:  # Such as the page of a login, in place of a PACS.
        raise BlockedError(
            f"The answer of the PACS does not name the result that was sent: check the address of "
            f"{CONNECTION}."
        )
    return Sent(instance=instance, sha256=digest, size=len(data))


def check(request: Request) -> bool:
    """Return whether the PACS answers a search; False if it does not offer searches.

    Raises:
        BlockedError, TransientError: as for :func:`send`.
    """
    answer = request("GET", "studies?limit=1", b"", {"Accept": _JSON})
    if answer.status in _NO_SERVICE:
        return False
    if problem := _problem_of(answer.status):
        raise problem
    return True


def _instance(data: bytes) -> str:
    import pydicom

    header = pydicom.dcmread(io.BytesIO(data), specific_tags=["SOPInstanceUID"])
    return str(header.SOPInstanceUID)


def _problem(answer: Answer) -> XrayError | None:
    """Return what went wrong with an instance; None if the PACS has it."""
    reasons = list(_reasons(answer.body))
    if refusals := [reason for reason in reasons if reason not in _DUPLICATE]:
        return _refusal(refusals[0])
    return None if reasons and answer.status == 409 else _problem_of(answer.status)


def _reasons(body: bytes) -> Iterator[int]:
    """Yield why instances were not stored: the Failure Reasons of a STOW-RS response (PS3.18,
    table 10.5.3-1)."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        answer = json.loads(body)
        response = answer[0] if isinstance(answer, list) else answer
        for failed in response.get(_FAILED, {}).get("Value", ()):
            yield int(failed.get(_REASON, {}).get("Value", [0])[0])


def _refusal(reason: int) -> XrayError:
    """Return the error for a Failure Reason (PS3.18, table I.2-2)."""
    code = f"reason {reason:04X}"
    if reason in _OUT_OF_RESOURCES:
        return BlockedError(f"The PACS has no room for a result ({code}): make room.")
    if reason == _PROCESSING:
        return TransientError(f"The PACS cannot store a result now ({code}).")
    if reason == _NOT_AUTHORIZED:
        return BlockedError(
            f"The PACS forbids to store a result ({code}): check the rights of the account of "
            f"{CONNECTION}."
        )
    return ObjectError(
        f"The PACS refuses a result ({code}): see its log, or send no results there by the setting "
        "outputs."
    )


def _problem_of(status: int) -> XrayError | None:
    """Return the error for the HTTP status of an answer; None for a success."""
    if 200 <= status < 300:
        return None
    if status in (401, 403, 407):
        return BlockedError(
            f"The PACS refuses the login (HTTP {status}): correct the login and the password of "
            f"{CONNECTION}, or the rights of the account."
        )
    if status in _NO_SERVICE or 300 <= status < 400:
        return BlockedError(
            f"There is no DICOMweb service at the address of {CONNECTION} (HTTP {status}): correct "
            "it, with the path, such as /dicom-web."
        )
    if status in _NO_ROOM:
        return BlockedError(f"A result is too large for the PACS (HTTP {status}): raise its limit.")
    if status >= 500 or status in _PASSING:
        return TransientError(f"The PACS is not available now (HTTP {status}).")
    return ObjectError(f"The PACS refuses a result (HTTP {status}): see its log.")
