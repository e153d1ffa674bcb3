"""A trail on an S3 server and in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.audit_records import BUCKET, CASE, SECRETS, copy, failure
from xray import audit
from xray.storage import ObjectStore


@pytest.fixture
def trail(s3: Any, store: ObjectStore, tmp_path: Path) -> Path:
    """Five records of one case and one of another, copied to a folder."""
    for number in range(5):
        audit.append(store, BUCKET, CASE, failure(f"fetch:{number}"), SECRETS)
    audit.append(store, BUCKET, CASE[::-1], failure("fetch:0"), SECRETS)
    return copy(store, tmp_path / "audit")
