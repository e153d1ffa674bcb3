"""Writing outputs over what was looked at, for the owner of an object alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from xray import pacs
from xray.case.claim import own_claim
from xray.case.converge import remove_unfinished
from xray.case.manifest import Claim, Manifest, Output, Place, Request
from xray.case.work import Work
from xray.errors import (
    BlockedError,
    ConflictError,
    NotFoundError,
    StaleError,
    TransientError,
    XrayError,
)
from xray.storage import StoredObject

_TAKEN_OVER = "A later case of the same object has taken over."
_ROUNDS = 10
"""How often an output is written anew while other programs write it."""
_REFUSALS = 3
"""How often the store has to refuse a condition that holds before an output is written without.

Some stores refuse them all, where versions are kept. A single refusal may be due to another program
that has written and removed an object meanwhile.
"""


class Writer:
    """Writes the outputs of an attempt.

    Each output is written only over the one that was looked at: the live one of the manifest. If
    there is another one, the manifest is read again. An attempt that no longer owns the object
    writes nothing; the owner writes over whatever is there.

    An instance is sent to the PACS by the owner alone, too, and before the outputs are committed:
    while the PACS cannot take it, nothing is published.

    Args:
        work: the case.
        manifest: the manifest, as it was when the attempt owned the object.
        own: the claim of the attempt.
    """

    def __init__(self, work: Work, manifest: Manifest, own: Claim) -> None:
        self._work, self._manifest = work, manifest
        self.own = own
        """The claim of the attempt."""
        self.outputs: list[Output] = []
        """What was written, in order."""
        self.sent: list[pacs.Sent] = []
        """What was sent to the PACS, in order."""
        self._replaced: dict[Place, StoredObject] = {}

    def write(
        self,
        bucket: str,
        key: str,
        data: bytes,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> Output:
        """Write an output.

        Raises:
            StaleError: the attempt no longer owns the object.
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        digest = hashlib.sha256(data).hexdigest()
        live = self._manifest.live((bucket, key))
        expected = live.etag if live else None
        if live and live.sha256 != digest:
            self._keep(live)
        refusals = 0
        for _ in range(_ROUNDS):
            bare = refusals >= _REFUSALS
            try:
                etag = self._work.store.put(
                    bucket,
                    key,
                    data,
                    content_type=content_type,
                    metadata=metadata,
                    once=expected is None and not bare,
                    over=None if bare else expected,
                )
            except ConflictError:
                head = self._work.store.head(bucket, key)
                self._check_owner()
                found = head.etag if head else None
                refusals = refusals + 1 if found == expected else 0
                expected = found
                continue
            output = Output(bucket=bucket, key=key, sha256=digest, size=len(data), etag=etag)
            self.outputs.append(output)
            return output
        raise TransientError(f"Other programs keep writing the same object in {bucket}.")

    def send(self, data: bytes) -> None:
        """Send a DICOM instance to the PACS. Unlike an output, it cannot be taken back.

        Raises:
            StaleError: the attempt no longer owns the object.
            ObjectError, TransientError: the PACS refuses, or cannot answer now.
        """
        self._check_owner()
        self.sent.append(pacs.send(self._work.request_to_pacs, data))

    def commit(
        self, content: str, waiting: Request | None = None, *, kept: Iterable[Output] = ()
    ) -> None:
        """Make the outputs that were written the live ones of the object.

        Args:
            content: SHA-256 of the upload that the outputs were made from.
            waiting: what a person is asked about them.
            kept: live outputs that stay.

        Raises:
            StaleError: the attempt no longer owns the object.
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        work, written = self._work, {output.place for output in self.outputs}
        outputs = [*(output for output in kept if output.place not in written), *self.outputs]

        def edit(current: Manifest) -> Manifest:
            if own_claim(work, current) != self.own:
                return current
            return replace(current.with_outputs(outputs, content), waiting=waiting)

        if own_claim(work, work.manifest.change(edit)) != self.own:
            raise StaleError(_TAKEN_OVER)

    def sent_facts(self) -> dict[str, Any]:
        """Return the audit record's field for what was sent, if anything was."""
        return {"sent": [one.to_record() for one in self.sent]} if self.sent else {}

    def undo(self) -> None:
        """Put back the live outputs that were replaced; new ones are left to the convergence."""
        for output in reversed(self.outputs):
            stored = self._replaced.get(output.place)
            if stored is None:
                continue
            with suppress(ConflictError):  # Another attempt has written there since.
                self._work.store.put(
                    output.bucket,
                    output.key,
                    stored.data,
                    content_type=stored.content_type,
                    metadata=stored.metadata,
                    over=output.etag,
                )
        self.outputs.clear()

    def _keep(self, live: Output) -> None:
        """Keep a live output that is about to be replaced."""
        with suppress(NotFoundError, ConflictError):
            stored = self._work.store.get(live.bucket, live.key)
            if stored.etag == live.etag:
                self._replaced[live.place] = stored

    def _check_owner(self) -> None:
        """Raise StaleError if the attempt no longer owns the object."""
        current, _ = self._work.manifest.read()
        if own_claim(self._work, current) != self.own:
            raise StaleError(_TAKEN_OVER)


@contextmanager
def writing(work: Work, manifest: Manifest, own: Claim) -> Iterator[Writer]:
    """Give a writer; if not all outputs can be written and committed, put back what was live.

    A new output stays until the next try, which comes within minutes, unless the try has to wait
    for a person.
    """
    writer = Writer(work, manifest, own)
    try:
        yield writer
    except XrayError as error:
        error.facts = writer.sent_facts()
        with suppress(XrayError):
            writer.undo()
            if isinstance(error, BlockedError):
                remove_unfinished(work, own)
        raise
