"""An object store in memory, and programs that take turns at its operations.

The store has the interface and the conditions of :class:`xray.storage.ObjectStore`. A test can
kill a program before any of its operations, lose the answer to one, and let several programs
take turns between any two operations. The same turns give the same result.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from xray.errors import ConflictError, ImageError, NotFoundError, ObjectError, TransientError
from xray.storage import ListedObject, ObjectHead, ObjectStore, ObjectStream, StoredObject

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of the store's first write; each further write is a second later."""


class Killed(BaseException):
    """The program was killed. It does nothing more, not even what a ``finally`` says."""


class Fault(StrEnum):
    """What happens to a program at one operation."""

    KILL = "killed before the operation"
    REFUSED = "the store cannot answer, and does nothing"
    LOST = "the store does the operation, and its answer is lost"


@dataclass(frozen=True)
class Operation:
    """An operation of the store."""

    name: str
    bucket: str
    key: str


class ModelStore(ObjectStore):
    """An object store in memory.

    Args:
        versioned: whether the store gives version ids and keeps old versions.
        conditional_delete: whether a deletion honours its condition.
    """

    def __init__(self, *, versioned: bool = False, conditional_delete: bool = True) -> None:
        self.versioned, self.conditional_delete = versioned, conditional_delete
        self.before: Callable[[Operation], None] = lambda _: None
        """Called before each operation."""
        self.after: Callable[[Operation], None] = lambda _: None
        """Called after each operation that changes something."""
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._versions: dict[str, StoredObject] = {}
        self._writes = 0

    def peek(self, bucket: str) -> dict[str, StoredObject]:
        """Return the objects of a bucket by their keys, without an operation."""
        return {key: one for (name, key), one in sorted(self._objects.items()) if name == bucket}

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        max_bytes: int | None = None,
    ) -> StoredObject:
        self.before(Operation("get", bucket, key))
        stored = self._objects.get((bucket, key))
        if version_id:
            stored = self._versions.get(version_id)
        if stored is None:
            raise NotFoundError(f"The object is not in {bucket}.")
        if etag and not version_id and stored.etag != etag:
            raise ObjectError(f"The object in {bucket} was replaced since its notification.")
        if max_bytes is not None and len(stored.data) > max_bytes:
            raise ImageError("The object is too large.")
        return stored

    def stream(self, bucket: str, key: str, *, chunk_size: int = 2**18) -> ObjectStream:
        stored = self.get(bucket, key)
        return ObjectStream(
            stored.content_type, len(stored.data), iter([stored.data]), lambda: None
        )

    def head(self, bucket: str, key: str) -> ObjectHead | None:
        self.before(Operation("head", bucket, key))
        stored = self._objects.get((bucket, key))
        if stored is None:
            return None
        size = len(stored.data)
        return ObjectHead(stored.etag, stored.metadata, stored.version_id, stored.modified, size)

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
        once: bool = False,
        over: str | None = None,
    ) -> str:
        operation = Operation("put", bucket, key)
        self.before(operation)
        present = self._objects.get((bucket, key))
        if (once and present) or (over and (present is None or present.etag != over)):
            raise ConflictError(f"An object in {bucket} is not what it was.")
        self._writes += 1
        stored = StoredObject(
            data=data,
            etag=hashlib.md5(data).hexdigest(),
            version_id=f"v{self._writes}" if self.versioned else None,
            sha256=hashlib.sha256(data).hexdigest(),
            modified=BEGINNING + timedelta(seconds=self._writes),
            content_type=content_type,
            metadata=dict(metadata or {}),
        )
        self._objects[bucket, key] = stored
        if stored.version_id:
            self._versions[stored.version_id] = stored
        self.after(operation)
        return stored.etag

    def delete(self, bucket: str, key: str, *, etag: str | None = None) -> None:
        operation = Operation("delete", bucket, key)
        self.before(operation)
        present = self._objects.get((bucket, key))
        if present and etag and self.conditional_delete and present.etag != etag:
            raise ConflictError(f"An object in {bucket} is not what it was.")
        self._objects.pop((bucket, key), None)
        self.after(operation)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ListedObject]:
        self.before(Operation("list", bucket, prefix))
        for key, one in self.peek(bucket).items():
            if key.startswith(prefix):
                yield ListedObject(key, one.etag, len(one.data), one.modified)


@dataclass
class Program:
    """A thread that does operations when it is its turn.

    Args:
        body: what the program does.
        faults: what happens at its operations, by their numbers from 0.
    """

    body: Callable[[], None]
    faults: Mapping[int, Fault] = field(default_factory=dict)
    log: list[Operation] = field(default_factory=list)
    """The operations that it has begun."""
    dead: bool = False
    """Whether its process was killed, and no new one was started."""
    ended: bool = False
    error: BaseException | None = None
    """What the body has raised; None if it has ended well."""
    _left: int = 0
    _turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def restart(self) -> None:
        """Start a new process in place of the one that was killed."""
        self.dead = False

    def start(self) -> None:
        """Start the thread, which waits for its first turn."""
        threading.Thread(target=self._run, daemon=True).start()

    def take_turn(self, operations: int) -> None:
        """Let the program do at most so many operations, and wait for that."""
        self._left = operations
        self._turn.release()
        self._done.acquire()

    def before(self, operation: Operation) -> None:
        """Wait for the next turn if this one is over; raise what happens at this operation."""
        if self.dead:
            raise Killed
        while not self._left:
            self._done.release()
            self._turn.acquire()
        self._left -= 1
        self.log.append(operation)
        assert len(self.log) < _MOST_OPERATIONS, "the program does not end"
        fault = self.faults.get(len(self.log) - 1)
        if fault is Fault.KILL:
            self.dead = True
            raise Killed
        if fault is Fault.REFUSED:
            raise TransientError("The store is not available.")

    def after(self) -> None:
        """Raise an error if the answer to the operation is lost."""
        if self.faults.get(len(self.log) - 1) is Fault.LOST:
            raise TransientError("The store did not answer.")

    def _run(self) -> None:
        self._turn.acquire()
        _OWN.program = self
        try:
            self.body()
        except BaseException as error:
            self.error = error
        self.ended = True
        self._done.release()


_OWN = threading.local()
"""The program of the present thread."""
_WITHOUT_END = 10**9
_MOST_OPERATIONS = 2000


def own_program() -> Program | None:
    """Return the program that the present thread is; None outside of any."""
    return getattr(_OWN, "program", None)


def interleave(store: ModelStore, programs: Sequence[Program], turns: Sequence[int] = ()) -> None:
    """Let programs take turns at the operations of a store, and raise what one of them has raised.

    Args:
        store: the store.
        programs: the programs.
        turns: the number of operations of each turn: the programs that have not ended take turns
            in order. After the last turn, each of them runs to its end.
    """

    def before(operation: Operation) -> None:
        if program := own_program():
            program.before(operation)

    def after(_: Operation) -> None:
        if program := own_program():
            program.after()

    store.before, store.after = before, after
    queue = deque(programs)
    for program in programs:
        program.start()
    for operations in [*turns, *[_WITHOUT_END] * len(programs)]:
        if queue:
            queue[0].take_turn(operations)
            queue.rotate(-1)
            queue = deque(one for one in queue if not one.ended)
    store.before = store.after = lambda _: None
    for program in programs:
        if program.error:
            raise program.error


def stored_json(store: ModelStore, bucket: str) -> dict[str, Any]:
    """Return the JSON documents of a bucket by their keys."""
    import json

    return {key: json.loads(one.data) for key, one in store.peek(bucket).items()}
