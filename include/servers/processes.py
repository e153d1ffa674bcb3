"""Child processes that never outlive their parent, and leave a log."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MARK = "XRAY_STACK"
"""An environment variable that all of a stack's processes inherit, with the stack's id."""
STOP_SECONDS = 20.0
"""How long a process may take to end when asked."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartError(Exception):
    """A part of the stack did not start; the message says where its log is."""


class Child:
    """A process in a group of its own, which ends when its parent does, however that dies."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        user: str | None = None,
        prints_address: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if prints_address else stream,
                stderr=stream,
                start_new_session=True,
                cwd="/" if user else None,
                user=user,
                preexec_fn=_end_with_parent,
            )

    def first_line(self, seconds: float) -> str:
        """The first line it prints: its address.

        Raises:
            StartError: none came in time.
        """
        stream = self.process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], seconds)
        line = stream.readline().decode().strip() if ready else ""
        if not line:
            raise StartError(f"{self.name} did not start; its log is {self.log}.")
        return line

    def check(self) -> None:
        """Raise StartError if it has ended."""
        if self.process.poll() is not None:
            raise StartError(
                f"{self.name} ended with status {self.process.returncode}; its log is {self.log}."
            )

    def ask_to_stop(self) -> None:
        """Close its input and send SIGTERM."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End it and what it started at once, as ``kill -9`` does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, deadline: float) -> None:
        """Wait for it until ``deadline`` (monotonic seconds), then kill its group."""
        self.ask_to_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def _end_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def stop_all(*groups: Sequence[Child], mark: str) -> None:
    """Stop each group of children together, one group after the other; then what is left."""
    for children in groups:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            child.stop(deadline)
    for pid in marked(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> list[int]:
    """Processes that carry the ``mark``, other than this one. Empty where there is no /proc."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environ = (directory / "environ").read_bytes().split(b"\0")
            if wanted in environ and int(directory.name) != os.getpid():
                found.append(int(directory.name))
    return found


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(
    ready: Callable[[], bool], what: str, *, seconds: float, children: Sequence[Child] = ()
) -> None:
    """Wait for another process's state, which sends no event: look five times a second.

    Raises:
        StartError: it did not come about in time, or a child ended.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise StartError(f"{what} did not come about within {seconds:.0f} s.")
        time.sleep(0.2)
