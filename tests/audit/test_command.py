"""xray.audit.command, on an S3 server and on folders"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import SECRET
from tests.support.audit_records import BUCKET, CASE, NEWER, SECRETS, TRAIL_0_1
from xray.audit import checkpoint_name, make_checkpoint, objects
from xray.audit.command import main
from xray.audit.record import MAX_BYTES
from xray.command_line import SECRET_ENVIRONMENT, run
from xray.errors import ObjectError, SettingsError
from xray.storage import ObjectStore

UNSEALED = "; no seal was checked, because no secret was given\n"


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has no secret."""
    monkeypatch.delenv(SECRET_ENVIRONMENT, raising=False)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    """A file with a list of secrets."""
    path = tmp_path / "secret"
    path.write_text(f'["{NEWER}", "{SECRET}"]\n')
    return str(path)


@pytest.fixture
def checkpoint(trail: Path, secret_file: str, capsys: pytest.CaptureFixture[str]) -> str:
    """A file with a checkpoint of the trail, made by the command."""
    assert main(["checkpoint", str(trail), "--secret-file", secret_file]) == 0
    path = Path(secret_file).with_name("checkpoint")
    path.write_text(capsys.readouterr().out)
    return str(path)


def test_a_folder_that_verifies_is_exit_status_zero(
    trail: Path, secret_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(trail), "--secret-file", secret_file]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"


def test_without_the_secret_the_chain_alone_is_checked(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(trail)]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify" + UNSEALED


def test_the_secret_may_be_in_the_environment(
    trail: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SECRET_ENVIRONMENT, SECRET)
    assert main(["verify", str(trail)]) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"
    monkeypatch.setenv(SECRET_ENVIRONMENT, NEWER)
    assert main(["verify", str(trail)]) == 1
    assert "sealed with a secret that was not given" in capsys.readouterr().out
    monkeypatch.setenv(SECRET_ENVIRONMENT, "short")
    with pytest.raises(SettingsError, match="at least 16 bytes"):
        main(["verify", str(trail)])


def test_problems_are_printed(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trail / CASE / "00003.json").unlink()
    assert main(["verify", str(trail)]) == 1
    assert capsys.readouterr().out == (
        f"{CASE}/00003.json is missing\n5 records of 2 cases; 1 problem" + UNSEALED
    )


def test_the_name_of_a_stray_file_is_printed_on_one_line(
    trail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (trail / "Thumbs\n6 records of 2 cases, all verify\x1b[8m.db").write_bytes(b"")
    assert main(["verify", str(trail)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("'Thumbs\\n6 records")
    assert "1 problem" in last


def test_records_of_version_0_1_0_are_counted(
    secret_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(TRAIL_0_1), "--secret-file", secret_file]) == 0
    assert capsys.readouterr().out == (
        "3 records of 1 case (3 of them without a key, from version 0.1.0), all verify\n"
    )


def test_a_checkpoint_finds_what_was_cut_off(
    trail: Path, secret_file: str, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["verify", str(trail), "--secret-file", secret_file, "--checkpoint", checkpoint]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "6 records of 2 cases, all verify\n"
    (trail / CASE / "00005.json").unlink()
    assert main(arguments) == 1
    assert capsys.readouterr().out == (
        f"{CASE}/00005.json is missing, according to the checkpoint\n"
        "5 records of 2 cases; 1 problem\n"
    )


def test_the_checkpoints_of_the_folder_are_counted(
    trail: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trail / "checkpoints"
    folder.mkdir()
    (folder / "20261126T150000Z.json").write_bytes(Path(checkpoint).read_bytes())
    assert main(["verify", str(trail)]) == 0
    assert capsys.readouterr().out == (
        "6 records of 2 cases and 1 checkpoint, all verify" + UNSEALED
    )


def test_a_checkpoint_needs_the_secret(trail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["checkpoint", str(trail)])
    assert caught.value.code == 2
    assert "a checkpoint is sealed: give --secret-file" in capsys.readouterr().err


@pytest.mark.usefixtures("stored_trail")
def test_a_bucket_is_checked_with_aws_own_environment(
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
    assert capsys.readouterr().out == "6 records of 2 cases, all verify" + UNSEALED
    assert run("audit", ["verify", "s3://nowhere-at-all"]) == 1
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.usefixtures("stored_trail")
def test_only_records_and_checkpoints_are_read(
    s3: Any, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = checkpoint_name(next(iter(store.list(BUCKET))).modified)
    s3.put_object(Bucket=BUCKET, Key=own, Body=make_checkpoint(objects(store, BUCKET), SECRETS))
    s3.put_object(Bucket=BUCKET, Key="video.mpg", Body=b"long")
    s3.put_object(Bucket=BUCKET, Key=f"{CASE}/00006.json", Body=bytes(MAX_BYTES + 2))
    read = []
    get = ObjectStore.get
    monkeypatch.setattr(
        ObjectStore, "get", lambda self, bucket, key: read.append(key) or get(self, bucket, key)
    )
    sizes = {name: len(data) for name, data in objects(store, BUCKET)}
    assert len(sizes) == 9
    assert (sizes["video.mpg"], sizes[f"{CASE}/00006.json"]) == (0, MAX_BYTES + 1)
    assert len(read) == 7
    assert own in read


def test_a_wrong_call_is_told(
    trail: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    for arguments, said in [
        (["verify", missing], f"there is no folder {missing}"),
        (["verify", str(trail), "--checkpoint", missing], "missing cannot be read: No such file"),
        (["verify", str(trail), "--secret-file", missing], "missing cannot be read: No such file"),
        (["verify"], "required: SOURCE"),
        ([], "required: COMMAND"),
    ]:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert said in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(trail: Path) -> None:
    (trail / CASE / "00006.json").symlink_to("00006.json")
    with pytest.raises(ObjectError, match=r"00006\.json cannot be read"):
        main(["verify", str(trail)])
