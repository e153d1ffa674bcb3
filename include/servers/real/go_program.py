"""Go modules, and the programs that are built of them on first use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from include.servers.processes import StartError
from include.servers.real import CACHE

COMPOSE = ("github.com/docker/compose/v2", "v2.40.3", "./cmd", "internal.Version")
STATSD_EXPORTER = ("github.com/prometheus/statsd_exporter", "v0.31.0", ".", "")


def built(module: str, version: str, package: str, version_name: str = "") -> Path:
    """The program of a module's package, built if it is not there.

    Args:
        module: as Go's proxy names it.
        version: with its ``v``.
        package: its folder in the module.
        version_name: the module's variable that says its version, if the build must set it.

    Raises:
        StartError: Go is missing, or the build fails.
    """
    program = CACHE / f"{module.replace('/', '-')}-{version}"
    if program.exists():
        return program
    # Not `go install`: it refuses a module whose go.mod excludes something.
    folder = files(module, version)
    flags = f"-s -w -X {module}/{version_name}={version}" if version_name else "-s -w"
    draft = program.with_suffix(f".{os.getpid()}")
    CACHE.mkdir(parents=True, exist_ok=True)
    _go("build", "-trimpath", f"-ldflags={flags}", "-o", str(draft), package, folder=folder)
    draft.replace(program)
    return program


def files(module: str, version: str) -> Path:
    """The folder of a module's files.

    Raises:
        StartError: Go is missing, or the module cannot be had.
    """
    if not shutil.which("go"):
        raise StartError(f"{module} comes as a Go module: install Go, so that go runs.")
    return Path(json.loads(_go("mod", "download", "-json", f"{module}@{version}"))["Dir"])


def _go(*arguments: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"go {arguments[0]} failed: {done.stderr[-400:]}")
    return done.stdout
