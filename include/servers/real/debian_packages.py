"""Programs from Debian's packages, unpacked into the cache on first use, which needs no root."""

from __future__ import annotations

from pathlib import Path

from include.servers.processes import StartError, run_program


def unpack_packages(packages: tuple[str, ...], folder: Path, purpose: str) -> None:
    """Download Debian's ``packages`` and unpack them into ``folder``, without installing them.

    Args:
        packages: their names.
        folder: the folder, which may not exist yet.
        purpose: the start of the error's message: what is missing, and what to install.

    Raises:
        StartError: this is no Debian, or a package cannot be downloaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    failed = f"{purpose}, and Debian's packages fail"
    try:
        run_program(["apt-get", "download", *packages], failed, cwd=folder)
        for package in folder.glob("*.deb"):
            run_program(["dpkg-deb", "--extract", str(package), str(folder)], failed, cwd=folder)
            package.unlink()
    except FileNotFoundError:
        raise StartError(f"{purpose}.") from None
