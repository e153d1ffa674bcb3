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


def test_every_secret_gets_its_own_value(path: Path) -> None:
    assert env_file.add_missing(path) == list(env_file.SECRETS)
    found = values(path)
    assert found.keys() == env_file.SECRETS.keys()
    assert len(set(found.values())) == len(found)
    # No value needs quoting in a URL, in JSON or in the syntax of Compose.
    assert all(re.fullmatch(r"[\w=-]{20,}", value) for value in found.values())
    Fernet(found["AIRFLOW_FERNET_KEY"])


def test_two_files_have_different_secrets(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    env_file.add_missing(path)
    env_file.add_missing(other)
    assert set(values(path).values()).isdisjoint(values(other).values())


def test_only_the_owner_can_read_the_file(path: Path) -> None:
    env_file.add_missing(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    env_file.add_missing(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_values_stay(path: Path) -> None:
    env_file.add_missing(path)
    before = path.read_text()
    assert env_file.add_missing(path) == []
    assert path.read_text() == before


def test_missing_secrets_are_added(path: Path) -> None:
    # As a user may leave the file: with another setting, an empty value, and no newline at the end.
    path.write_text("XRAY_PER_MINUTE=6\nexport S3_ACCESS_KEY=mine\nREDIS_PASSWORD=")
    added = env_file.add_missing(path)
    assert set(env_file.SECRETS) - set(added) == {"S3_ACCESS_KEY", "REDIS_PASSWORD"}
    text = path.read_text()
    assert text.startswith("XRAY_PER_MINUTE=6\nexport S3_ACCESS_KEY=mine\nREDIS_PASSWORD=\n")
    assert set(added) <= values(path).keys()


def test_no_secret_is_printed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env_file.main([str(path)])
    output = capsys.readouterr().out
    assert "POSTGRES_PASSWORD" in output
    assert not any(value in output for value in values(path).values())
