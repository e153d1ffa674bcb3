"""Programs that are built with Go on first use, from the module proxy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from include.demo.processes import StartError

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xray"
"""Outside the checkout: the next one finds what this one has built."""
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
    if not shutil.which("go"):
        raise StartError(f"{module} is built with Go: install it, so that go runs.")
    # Not `go install`: it refuses a module whose go.mod excludes something.
    folder = json.loads(_go("mod", "download", "-json", f"{module}@{version}"))["Dir"]
    flags = f"-s -w -X {module}/{version_name}={version}" if version_name else "-s -w"
    draft = program.with_suffix(f".{os.getpid()}")
    CACHE.mkdir(parents=True, exist_ok=True)
    _go("build", "-trimpath", f"-ldflags={flags}", "-o", str(draft), package, folder=folder)
    draft.replace(program)
    return program


def _go(*arguments: str, folder: str | None = None) -> str:
    done = subprocess.run(
        ["go", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StartError(f"go {arguments[0]} failed: {done.stderr[-400:]}")
    return done.stdout
