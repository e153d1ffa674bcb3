"""Records of an audit trail."""

from __future__ import annotations

from typing import Any

from tests.support import RUN

BUCKET = "xray-data-in-audit"
CASE = "0123456789abcdef" * 2
REDACTION_0_1 = {"engine": "e", "regions": 2, "verified": True, "quarantined": False}
"""The result of a redaction as version 0.1.0 recorded it."""
REDACTION = {
    "engine": "strokes+PP-OCRv6",
    "scale": 2.5,
    "regions": 2,
    "check": {"engine": "Tesseract eng+zxing-cpp", "rounds": 1, "read": 7, "regions": 0},
    "verified": True,
    "quarantined": False,
}
"""The result of a redaction."""


def success(token: str, redaction: dict[str, Any]) -> dict[str, Any]:
    """The record of a case whose anonymised image was published."""
    record = failure(token)
    del record["error"], record["kind"]
    return {
        **record,
        "outcome": "succeeded",
        "pinned": {"sha256": "0" * 64, "etag": "e", "version_id": None},
        "scored": {"risk": 0.93, "label": "Pneumonia", "model": "m"},
        "decision": "published and anonymised",
        "redaction": redaction,
        "outputs": [],
    }


def failure(token: str, error: str = "It is no image.") -> dict[str, Any]:
    """The record of a case that failed."""
    source = {"bucket": "b", "key": "Ada.jpeg", "version_id": None, "etag": "e", "size": 1}
    source |= {"sequencer": None, "event_time": None, "origin": "manual"}
    return {
        "outcome": "failed",
        "token": token,
        "run": RUN.to_json(),
        "source": source,
        "settings": None,
        "error": error,
        "kind": "permanent",
    }
