"""The base classes of all servers: how they are started and ended."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from include.servers.processes import Child, wait_until


class Server(ABC):
    """A server that is started and closed; a context manager."""

    @abstractmethod
    def start(self) -> None:
        """Start the server, and return once it answers.

        Raises:
            StartError: the server did not start; the message says where its log is.
        """

    @abstractmethod
    def close(self) -> None:
        """End the server, whatever its state. Does nothing if it does not run."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ProcessServer(Server):
    """A server in a child process. Started again, it is the same server with the same data.

    A subclass provides :attr:`name`, :meth:`command` and :meth:`answers`, and where it needs them
    :meth:`prepare` and :meth:`environment`.
    """

    name: ClassVar[str]
    """The name of the process, in messages and in the name of its log."""
    timeout: ClassVar[float] = 60.0
    """Seconds that a start may take."""
    prints_address: ClassVar[bool] = False
    """Whether the standard output is kept, for an address in its first line, and not logged."""
    user: str | None = None
    """The user that the process runs as; None for the current one."""
    env: Mapping[str, str] | None = None
    """The environment of the process; None for this process's own."""
    child: Child | None = None
    """The process, once it has been started."""
    _prepared: bool = False

    @property
    @abstractmethod
    def log(self) -> Path:
        """The file that receives the output of the process."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the program and its arguments."""

    def answers(self) -> bool:
        """Return whether the server accepts requests."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Return the environment of the process."""
        return os.environ if self.env is None else self.env

    def prepare(self) -> None:
        """Create the files that the server needs; called once, before the first start."""

    def start(self) -> None:
        """Start the server, for the first time or again, and return once it answers."""
        if not self._prepared:
            self.prepare()
            self._prepared = True
        self.child = self.launch()
        self.wait_until_ready(self.child)

    def launch(self) -> Child:
        """Start the process."""
        return Child(
            self.name,
            self.command(),
            env=self.environment(),
            log=self.log,
            user=self.user,
            prints_address=self.prints_address,
        )

    def wait_until_ready(self, child: Child) -> None:
        """Wait until the server answers."""
        wait_until(self.answers, f"{self.name} to answer", seconds=self.timeout, children=[child])

    def kill(self) -> None:
        """End the server at once, as ``kill -9`` does; it can be started again."""
        if self.child and self.child.process.poll() is None:
            self.child.kill()

    def close(self) -> None:
        """End the server at once."""
        self.kill()


class EmbeddedServer(ProcessServer):
    """A module of :mod:`include.servers.embedded` in a process of its own.

    The module prints its address as its first line, and serves until its standard input closes.
    """

    prints_address = True
    address: str = ""
    """The address that the process printed."""

    def __init__(self, *, env: Mapping[str, str], log: Path) -> None:
        self.env = env
        self._log = log

    @property
    def log(self) -> Path:
        """The file that receives the messages of the process."""
        return self._log

    def wait_until_ready(self, child: Child) -> None:
        """Read the address that the process prints once it is ready."""
        self.address = child.first_line(self.timeout)
