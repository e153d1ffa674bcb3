"""include/stack/env_file: the secrets of the local stack"""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from include.stack import env_file


def values(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_every_secret_gets_a_value_of_its_own(path: Path) -> None:
    assert env_file.add_missing(path) == list(env_file.SECRETS)
    found = values(path)
    assert found.keys() == env_file.SECRETS.keys()
    assert len(set(found.values())) == len(found)
    # None needs quoting in a URL, in JSON, or in Compose's own syntax.
    assert all(re.fullmatch(r"[\w=-]{20,}", value) for value in found.values())
    Fernet(found["AIRFLOW_FERNET_KEY"])


def test_two_machines_have_different_ones(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    env_file.add_missing(path)
    env_file.add_missing(other)
    assert set(values(path).values()).isdisjoint(values(other).values())


def test_its_owner_alone_may_read_it(path: Path) -> None:
    env_file.add_missing(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    env_file.add_missing(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_stays(path: Path) -> None:
    env_file.add_missing(path)
    before = path.read_text()
    assert env_file.add_missing(path) == []
    assert path.read_text() == before


def test_what_is_missing_is_added(path: Path) -> None:
    # As a person may leave it: with a setting of theirs, an empty value, and no line end.
    path.write_text("XRAY_PER_MINUTE=6\nexport S3_ACCESS_KEY=mine\nREDIS_PASSWORD=")
    added = env_file.add_missing(path)
    assert set(env_file.SECRETS) - set(added) == {"S3_ACCESS_KEY", "REDIS_PASSWORD"}
    text = path.read_text()
    assert text.startswith("XRAY_PER_MINUTE=6\nexport S3_ACCESS_KEY=mine\nREDIS_PASSWORD=\n")
    assert set(added) <= values(path).keys()


def test_what_it_prints_tells_no_secret(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env_file.main([str(path)])
    told = capsys.readouterr().out
    assert "POSTGRES_PASSWORD" in told
    assert not any(value in told for value in values(path).values())
