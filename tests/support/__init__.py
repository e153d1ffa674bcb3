"""What several tests use: the checkout, secrets, a task at work, a notification."""

from __future__ import annotations

import json
from pathlib import Path

from xray.case import Run
from xray.pseudonym import Keyring

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
SECRET = "a secret of the tests, long enough"
KEYRING = Keyring((SECRET,))
RUN = Run(run_id="xray__test", task="store", try_number=1, triggered_by="admin", reran_by=None)
"""The task at work, for the audit record."""


def notification(key: str, *, sequencer: str = "1", size: int = 3, etag: str = "abc") -> bytes:
    """Return a notification in the form that Ceph sends."""
    entry = {"key": key, "eTag": etag, "size": size, "sequencer": sequencer}
    record = {
        "eventSource": "ceph:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "xray-data-in"}, "object": entry},
    }
    return json.dumps({"Records": [record]}).encode()
