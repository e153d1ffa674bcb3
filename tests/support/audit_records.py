"""Records of an audit trail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support import ROOT, RUN, SECRET
from xray.storage import ObjectStore

BUCKET = "xray-data-in-audit"
CASE = "0123456789abcdef" * 2
SECRETS = (SECRET,)
NEWER = "a newer secret, long enough too"
TRAIL_0_1 = ROOT / "tests" / "audit" / "trail_0_1_0"
"""A folder with the trail of :data:`CASE`, three records, as version 0.1.0 wrote it."""
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


def ending(outcome: str, token: str, **facts: Any) -> dict[str, Any]:
    """The record of a form that a person was asked, or of a deletion."""
    record = failure(token)
    del record["error"], record["kind"]
    request = {"kind": "review", "claim": 3, "sha256": "0" * 64}
    return {**record, "outcome": outcome, "claim": 3, "request": request, **facts}


def deletion(token: str) -> dict[str, Any]:
    """The record of a deletion, which names no one."""
    facts = {"reason": "It was asked for.", "by": "admin", "at": "2026-11-26T15:00:00+00:00"}
    record = ending("deleted", token, deletion=facts, decision="deleted")
    del record["request"]
    return {**record, "source": {**record["source"], "key": None}}


def copy(store: ObjectStore, folder: Path) -> Path:
    """Copy the audit bucket to a folder, and return the folder."""
    for entry in store.list(BUCKET):
        path = folder / entry.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(BUCKET, entry.key).data)
    return folder


def named(folder: Path) -> list[tuple[str, bytes]]:
    """The objects in a folder: name and bytes, in the order of their names."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return sorted((path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)
