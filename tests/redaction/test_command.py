"""xray.redaction.command: verify; tests/redaction/test_files.py has the redaction of files"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.support import SECRET
from xray.command_line import SECRET_ENVIRONMENT
from xray.errors import SettingsError
from xray.redaction import certify
from xray.redaction.command import main

Save = Callable[..., bytes]


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret in the environment, whatever the environment of the tests has."""
    monkeypatch.delenv(SECRET_ENVIRONMENT, raising=False)


@pytest.fixture
def files(tmp_path: Path, lung: Image.Image, as_bytes: Save) -> list[str]:
    """The names of an image and of its certificate."""
    image, certificate = tmp_path / "a.png", tmp_path / "a.png.json"
    image.write_bytes(as_bytes(lung, "PNG"))
    summary = {"engine": "e", "regions": 2, "verified": True, "quarantined": False}
    document = certify(image.read_bytes(), summary, [SECRET], keep_markers=True, outline=False)
    certificate.write_bytes(document)
    return [str(image), str(certificate)]


def test_a_certificate_is_verified(
    files: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(SECRET_ENVIRONMENT, f'["a newer secret, long enough", "{SECRET}"]')
    assert main(["verify", *files]) == 0
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "The certificate holds: 2 regions removed by e" in told
    monkeypatch.setenv(SECRET_ENVIRONMENT, "another secret, long enough")
    assert main(["verify", *files]) == 1
    assert "The seal does not match" in capsys.readouterr().out
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert main(["verify", *files, "--secret-file", str(tmp_path / "secret")]) == 0


def test_another_image_is_told(
    files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SECRET_ENVIRONMENT, SECRET)
    Path(files[0]).write_bytes(Path(files[0]).read_bytes() + b"\0")
    assert main(["verify", *files]) == 1
    assert "belongs to another image" in capsys.readouterr().out


def test_without_a_secret_the_seal_cannot_be_checked(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *files]) == 1
    assert "without the secret the seal cannot be checked" in capsys.readouterr().out


def test_a_short_secret_is_refused(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_ENVIRONMENT, "short")
    with pytest.raises(SettingsError, match="at least 16 bytes"):
        main(["verify", *files])


def test_a_wrong_call_of_verify_is_told(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    missing = str(tmp_path / "missing")
    for arguments, said in [
        ([], "required: IMAGE, CERTIFICATE"),
        (files[:1], "required: CERTIFICATE"),
        ([files[0], missing], "missing cannot be read: No such file"),
        ([*files, "--secret-file", missing], "missing cannot be read"),
        ([*files, "--secret-file", str(tmp_path / "binary")], "it is not a text"),
    ]:
        with pytest.raises(SystemExit) as exit_:
            main(["verify", *arguments])
        assert exit_.value.code == 2
        assert said in capsys.readouterr().err


def test_a_folder_named_verify_is_redacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verify").mkdir()
    assert main(["./verify", "out"]) == 0
    assert capsys.readouterr().out == "[]\n"
