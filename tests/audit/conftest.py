"""A trail in a folder, and on an S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.audit_records import BUCKET, CASE, SECRETS, copy, failure, named
from tests.support.model_store import ModelStore
from xray import audit


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, bytes]]:
    """Return five records of one case and one of another: names and bytes."""
    store = ModelStore()
    for number in range(5):
        audit.append(store, BUCKET, CASE, failure(f"fetch:{number}"), SECRETS)
    audit.append(store, BUCKET, CASE[::-1], failure("fetch:0"), SECRETS)
    return named(copy(store, tmp_path_factory.mktemp("written")))


@pytest.fixture
def trail(written: list[tuple[str, bytes]], tmp_path: Path) -> Path:
    """Return a folder with these records."""
    for name, data in written:
        path = tmp_path / "audit" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "audit"


@pytest.fixture
def stored_trail(s3: Any, written: list[tuple[str, bytes]]) -> None:
    """Put these records on the S3 server."""
    for name, data in written:
        s3.put_object(Bucket=BUCKET, Key=name, Body=data)
