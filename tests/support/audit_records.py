"""Records of an audit trail."""

from __future__ import annotations

from typing import Any

from tests.support import RUN

BUCKET = "xray-data-in-audit"
CASE = "0123456789abcdef" * 2


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
