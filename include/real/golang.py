"""Servers that are built by ``go install`` on first use; Go must be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from include.demo.processes import StartError
from include.real.kafka import CACHE


def program(package: str, version: str) -> Path:
    """A package's program, built if it is not there.

    Raises:
        StartError: Go is missing, or the build fails.
    """
    name = package.rpartition("/")[2]
    folder = CACHE / f"{name}-{version}"
    if not (folder / name).exists():
        if not shutil.which("go"):
            raise StartError(f"{name} is built with Go: install it, so that go runs.")
        done = subprocess.run(
            ["go", "install", f"{package}@{version}"],
            env={**os.environ, "GOBIN": str(folder)},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise StartError(f"{name} could not be built: {done.stderr.decode()[-400:]}")
    return folder / name
