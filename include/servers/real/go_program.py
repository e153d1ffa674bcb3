"""Go modules, and the programs built from them on first use."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from include.servers.processes import StartError, run_program
from include.servers.real import CACHE

COMPOSE = ("github.com/docker/compose/v2", "v2.40.3", "./cmd", "internal.Version")
STATSD_EXPORTER = ("github.com/prometheus/statsd_exporter", "v0.31.0", ".", "")


def build_program(module: str, version: str, package: str, version_variable: str = "") -> Path:
    """Build the program of a Go package, unless it has been built before, and return its path.

    Args:
        module: the module's path, as Go's proxy names it.
        version: the module's version, with its ``v``.
        package: the folder of the package in the module.
        version_variable: the module's variable for its version, if the build must set it.

    Raises:
        StartError: Go is missing, or the build fails.
    """
    program = CACHE / f"{module.replace('/', '-')}-{version}"
    if program.exists():
        return program
    # `go install` refuses a module whose go.mod has an exclude directive.
    folder = download_module(module, version)
    flags = f"-s -w -X {module}/{version_variable}={version}" if version_variable else "-s -w"
    draft = program.with_suffix(f".{os.getpid()}")
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-trimpath", f"-ldflags={flags}", "-o", str(draft), package]
    run_program(command, f"Go cannot build {module}", cwd=folder)
    draft.replace(program)
    return program


def download_module(module: str, version: str) -> Path:
    """Download a Go module, unless it is in Go's cache, and return the folder of its files.

    Raises:
        StartError: Go is missing, or the module cannot be downloaded.
    """
    if not shutil.which("go"):
        raise StartError(f"{module} is a Go module: install Go, so that go runs.")
    command = ["go", "mod", "download", "-json", f"{module}@{version}"]
    return Path(json.loads(run_program(command, f"Go cannot download {module}"))["Dir"])
