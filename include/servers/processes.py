"""Child processes that never outlive their parent and write a log, and what waits for them."""

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
from typing import Any

MARK = "XRAY_STACK"
"""The environment variable that all processes of a stack inherit; its value is the stack's id."""
STOP_SECONDS = 20.0
"""Seconds that a process may take to end after it was asked to."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class StartError(Exception):
    """A server did not start; the message says where its log is, or what is missing."""


class Child:
    """A process in a group of its own, which ends when its parent ends, for whatever reason."""

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
        """Return the first line that the process prints: its address.

        Raises:
            StartError: no line arrived within ``seconds``.
        """
        stream = self.process.stdout
        assert stream is not None
        ready, _, _ = select.select([stream], [], [], seconds)
        line = stream.readline().decode().strip() if ready else ""
        if not line:
            raise StartError(f"{self.name} did not start; its log is {self.log}.")
        return line

    def check(self) -> None:
        """Check that the process is running.

        Raises:
            StartError: the process has ended.
        """
        if self.process.poll() is not None:
            raise StartError(
                f"{self.name} ended with status {self.process.returncode}; its log is {self.log}."
            )

    def ask_to_stop(self) -> None:
        """Close the standard input of the process and send SIGTERM."""
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()

    def kill(self) -> None:
        """End the process and all its children at once, as ``kill -9`` does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, deadline: float) -> None:
        """Ask the process to end, and kill its group at ``deadline`` (monotonic seconds)."""
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
    """Stop the children group by group, then kill every process that still has the ``mark``.

    The children of one group are stopped together.
    """
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
    """Return the ids of the processes with this ``mark``, except this one; none without /proc."""
    wanted = f"{MARK}={mark}".encode()
    pids = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environ = (directory / "environ").read_bytes().split(b"\0")
            if wanted in environ and int(directory.name) != os.getpid():
                pids.append(int(directory.name))
    return pids


def free_port() -> int:
    """Return a port of the loopback address that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(
    ready: Callable[[], bool], what: str, *, seconds: float, children: Sequence[Child] = ()
) -> None:
    """Wait until ``ready`` returns true, and ask five times a second.

    Polling is needed because the state of another process sends no event.

    Args:
        ready: the condition.
        what: the condition in words, for the message: "the API to answer".
        seconds: the longest wait.
        children: processes that must not end meanwhile.

    Raises:
        StartError: the condition was not met in time, or a child ended.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            raise StartError(f"Timed out after {seconds:.0f} s waiting for {what}.")
        time.sleep(0.2)


def run_program(command: Sequence[str], purpose: str, **options: Any) -> str:
    """Run a program to its end, and return its standard output.

    Args:
        command: the program and its arguments.
        purpose: the start of the error message: "Maven cannot fetch Kafka".
        options: further arguments of :func:`subprocess.run`.

    Raises:
        StartError: the program failed; the message has the end of its output.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        # Maven writes its errors to standard output.
        output = (done.stderr.strip() or done.stdout.strip())[-400:]
        raise StartError(f"{purpose}: {output}")
    return done.stdout
