"""Jars from Maven Central."""

from __future__ import annotations

import shutil
from pathlib import Path

from include.servers.processes import StartError, run_program


def write_class_path(pom: Path, file: Path, product: str) -> None:
    """Download the dependencies of ``pom``, and write their paths as a Java class path to ``file``.

    Args:
        pom: the project file that lists the dependencies.
        file: where the class path goes; its folder is created.
        product: the name of what is downloaded, for the message.

    Raises:
        StartError: Maven is missing, or the download fails.
    """
    if not shutil.which("mvn"):
        raise StartError(f"{product} needs Apache Maven: install it, so that mvn runs.")
    file.parent.mkdir(parents=True, exist_ok=True)
    goal = ["dependency:build-classpath", f"-Dmdep.outputFile={file}"]
    run_program(["mvn", "-q", "-B", "-f", str(pom), *goal], f"Maven cannot download {product}")
