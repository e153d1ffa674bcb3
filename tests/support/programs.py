"""Programs of Debian that some tests need: without them, tests are skipped, or fail with --real."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from include.servers.real import orthanc

VALIDATOR = "dciodvfy"


def need_orthanc(real: bool) -> None:
    """Skip the test if this machine has no Orthanc; let it fail if real servers are wanted."""
    if not orthanc.is_installed():
        _lacking(orthanc.INSTALL, real)


def dicom_errors(data: bytes, real: bool) -> list[str]:
    """Return the errors that the validator dciodvfy finds in a DICOM file."""
    if shutil.which(VALIDATOR) is None:
        _lacking(f"{VALIDATOR} is not installed: apt-get install dicom3tools", real)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.dcm"
        file.write_bytes(data)
        command = [VALIDATOR, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (done.stderr + done.stdout).splitlines() if "Error" in line]
    return lines or ([f"exit status {done.returncode}"] if done.returncode else [])


def _lacking(reason: str, real: bool) -> None:
    if real:
        pytest.fail(reason)
    pytest.skip(reason)
