"""xray.audit.command, on an S3 server and on folders"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.audit_records import BUCKET, CASE
from xray.audit.command import main
from xray.command_line import run


def test_a_folder_that_verifies_is_exit_status_zero(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(trail)]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"


def test_problems_are_printed(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trail / CASE / "00003.json").unlink()
    assert main(["verify", str(trail)]) == 1
    assert capsys.readouterr().out == (
        f"{CASE}/00003.json is missing\n5 records of 2 cases; 1 problem\n"
    )


def test_a_bucket_is_checked_with_aws_own_environment(
    trail: Path,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in (
        ("AWS_ENDPOINT_URL", s3_endpoint),
        ("AWS_ACCESS_KEY_ID", "demo"),
        ("AWS_SECRET_ACCESS_KEY", "demo"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    assert main(["verify", f"s3://{BUCKET}"]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"
    assert run("audit", ["verify", "s3://nowhere-at-all"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_missing_folder_is_a_wrong_call() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["verify", "/no/such/folder"])
    assert caught.value.code == 2
