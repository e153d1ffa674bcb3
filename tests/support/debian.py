"""A fresh Debian in a folder, with an ordinary user: what a newcomer's machine has."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from include.servers.processes import run_program
from include.servers.real import CACHE

USER, UID = "newcomer", 1000
PACKAGES = ("ca-certificates", "git", "make", "python3", "python3-venv")
PASSED_ON = ("PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_INDEX_URL", "SSL_CERT_FILE", "UV_INDEX_URL")
"""Environment variables that say how package registries are reached; proxies are passed on, too."""
_NAMESPACE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


class MissingToolError(Exception):
    """A tool that a Debian in a folder needs is missing here."""


class Debian:
    """A Debian in the cache, made on first use.

    Args:
        suite: such as ``trixie``.

    Raises:
        MissingToolError: not root, or debootstrap or unshare is missing.
        StartError: a program that makes the Debian fails.
    """

    def __init__(self, suite: str) -> None:
        if os.geteuid() != 0:
            raise MissingToolError("A chroot needs root.")
        for tool in ("debootstrap", "unshare"):
            if not shutil.which(tool):
                raise MissingToolError(f"{tool} is missing.")
        self.root = CACHE / f"debian-{suite}"
        if not self.root.exists():
            self._make(suite)

    @property
    def home(self) -> Path:
        """The user's home folder, seen from outside."""
        return self.root / "home" / USER

    def clone(self, checkout: Path) -> None:
        """Clone the last commit of ``checkout`` into the user's home; remove an older clone."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        subprocess.run(
            ["git", "clone", "--quiet", "--no-hardlinks", str(checkout), str(self.home / "xray")],
            check=True,
        )
        subprocess.run(["chown", "--recursive", f"{UID}:{UID}", str(self.home)], check=True)

    def run(self, command: str, log: Path) -> int:
        """Run ``command`` in the clone, as the user; return its exit status.

        The processes and mounts end with the command, whatever it leaves behind.
        """
        root = shlex.quote(str(self.root))
        environment = {
            "HOME": f"/home/{USER}",
            "USER": USER,
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **{
                name: value
                for name, value in os.environ.items()
                if name in PASSED_ON or name.lower().endswith("_proxy")
            },
        }
        assignments = shlex.join(f"{name}={value}" for name, value in environment.items())
        inner = shlex.quote(f"cd ~/xray && {command}")
        script = (
            f"mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && "
            f"mount -t tmpfs tmpfs {root}/tmp && chmod 1777 {root}/tmp && "
            f"exec chroot --userspec={UID}:{UID} {root} env -i {assignments} bash -c {inner}"
        )
        with log.open("wb") as stream:
            done = subprocess.run(
                [*_NAMESPACE, "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return done.returncode

    def _make(self, suite: str) -> None:
        draft = self.root.with_name(f"{self.root.name}.{os.getpid()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        packages = f"--include={','.join(PACKAGES)}"
        mirror = [uri] if (uri := _mirror()) else []
        try:
            run_program(
                ["debootstrap", "--variant=minbase", packages, suite, str(draft), *mirror],
                "debootstrap failed",
            )
            certificates = draft / "usr/local/share/ca-certificates"
            for own in Path("/usr/local/share/ca-certificates").glob("*.crt"):
                shutil.copy(own, certificates)
            run_program(
                ["chroot", str(draft), "update-ca-certificates"], "The certificates are not taken"
            )
            run_program(
                ["chroot", str(draft), "useradd", f"--uid={UID}", "--create-home", USER],
                "The user cannot be created",
            )
            for config in ("resolv.conf", "hosts", "pip.conf"):
                if (Path("/etc") / config).exists():
                    shutil.copy(Path("/etc") / config, draft / "etc" / config)
            draft.replace(self.root)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _mirror() -> str:
    """The mirror that this machine's apt uses for Debian; empty if it uses none."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return next((uri for uri, component in lines if component == "main"), "")
