"""The manifest of an object: what all cases of the object agree on.

Several cases can be about one object: a repeated upload, a backfill, a rerun. The
manifest says which of them owns the object, which upload is the present one, which
outputs are live, and what waits for a person. It is a small JSON document at
``objects/<object key>`` in a bucket of its own, which is as confidential as the
images are.

A manifest changes by compare-and-set alone: a change is written only over the
manifest that it was made from, and is made anew if there is another one by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

from xray.case.values import Value
from xray.errors import ConflictError, NotFoundError, ObjectError, TransientError
from xray.storage import ObjectStore

SCHEMA = 1
"""The version of the form of a manifest."""
PREFIX = "objects/"
"""What the key of a manifest starts with; the object key follows."""
WAITING_PREFIX = "waiting/"
"""What the key of a marker of a waiting case starts with."""
_ROUNDS = 30
"""How often a change is tried while other cases change the same manifest."""

Place = tuple[str, str]
"""A bucket and a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Value):
    """An upload of the object."""

    version_id: str | None
    etag: str | None
    sha256: str | None
    """None if the object could not be read as an image."""
    modified: str | None
    """The time at which the store received the object, in ISO 8601."""
    sequencer: str | None
    event_time: str | None
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Value):
    """An object that a case has written for good."""

    bucket: str
    key: str
    sha256: str
    size: int
    """In bytes."""
    etag: str

    @property
    def place(self) -> Place:
        """The bucket and the key."""
        return self.bucket, self.key

    def to_record(self) -> dict[str, Any]:
        """Return the audit record's entry."""
        return {name: value for name, value in self.to_json().items() if name != "etag"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Value):
    """An attempt of a case that has not ended."""

    number: int
    case_id: str
    token: str
    """Of the task that has made the claim: see :attr:`xray.case.Work.token`."""
    at: str
    """The time of the claim, in ISO 8601."""
    places: list[list[str]]
    """The places that the attempt may write to."""

    def place_set(self) -> set[Place]:
        """Return the places that the attempt may write to."""
        return {(bucket, key) for bucket, key in self.places}

    def includes(self, place: Place) -> bool:
        """Return whether the attempt may write to a place."""
        return list(place) in self.places


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Value):
    """A request for a person's decision. The person decides on one picture and no other."""

    kind: str
    """:data:`REVIEW` or :data:`RELEASE`."""
    case_id: str
    claim: int
    """The number of the claim of the attempt that asks."""
    sha256: str
    """Of the image that the person sees and decides on."""
    since: str
    """When the case started to wait, in ISO 8601."""
    until: str | None = None
    """When the case stops waiting, in ISO 8601; None for never."""
    answered: str | None = None
    """The token of the task that carries out the answer; None until there is one."""
    agreed: dict[str, Any] | None = None
    """The answer of the first of two people: ``choice``, ``boxes``, ``by``, ``at``, and the
    ``account``."""

    @property
    def marker(self) -> str:
        """The key of the marker in the bucket of the manifests."""
        return marker_key(self.kind, self.case_id, self.claim)

    def to_record(self) -> dict[str, Any]:
        """Return the audit record's field ``request``."""
        return {"kind": self.kind, "claim": self.claim, "sha256": self.sha256}


def marker_key(kind: str, case_id: str, claim: int) -> str:
    """Return the key of the marker of a waiting case, which names no object."""
    return f"{WAITING_PREFIX}{kind}/{case_id}/{claim}"


REVIEW, RELEASE = "review", "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Value):
    """What is true of an object."""

    claim: int = 0
    """The number of the last claim. The attempt that has made it owns the object."""
    case_id: str | None = None
    """The case that owns the object; None if no case has claimed it."""
    upload: Upload | None = None
    """The upload that the owner is about."""
    outputs: tuple[Output, ...] = ()
    """The live outputs: these and no other outputs of the object are there."""
    content: str | None = None
    """SHA-256 of the upload that the live outputs were made from."""
    claims: tuple[Claim, ...] = ()
    """The attempts that have not ended, oldest first."""
    leftovers: tuple[Place, ...] = ()
    """Places that may hold an output that is not live, and that have to be emptied."""
    waiting: Request | None = None
    """What a person is asked."""
    withdrawn: tuple[Request, ...] = ()
    """Requests that a later claim has withdrawn, and whose withdrawal is not on record yet."""
    deleted: bool = False
    """Whether the object's outputs were deleted on request, for good."""
    cases: tuple[str, ...] = ()
    """The ids of the cases whose audit records hold the object key."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the manifest that :meth:`to_json` was called on.

        Raises:
            ObjectError: a later version of this package has written it.
        """
        if values["schema"] != SCHEMA:
            raise ObjectError(
                f"The manifest of the object has the schema {values['schema']}, and this version "
                f"reads schema {SCHEMA}: use the version of this package that has written it."
            )
        upload, waiting = values["upload"], values["waiting"]
        return cls(
            claim=values["claim"],
            case_id=values["case_id"],
            upload=Upload(**upload) if upload else None,
            outputs=tuple(Output(**output) for output in values["outputs"]),
            content=values["content"],
            claims=tuple(Claim(**claim) for claim in values["claims"]),
            leftovers=tuple((bucket, key) for bucket, key in values["leftovers"]),
            waiting=Request(**waiting) if waiting else None,
            withdrawn=tuple(Request(**request) for request in values["withdrawn"]),
            deleted=values["deleted"],
            cases=tuple(values["cases"]),
        )

    def live(self, place: Place) -> Output | None:
        """Return the live output at a place; None if there is none."""
        return next((output for output in self.outputs if output.place == place), None)

    def forgets(self, number: int) -> bool:
        """Return whether the outputs were deleted on request after this claim was made.

        Args:
            number: of the claim; 0 for none.
        """
        return bool(number) and (self.deleted or self.claim < number)

    def held(self, number: int) -> Claim | None:
        """Return the claim with this number; None if its attempt has ended."""
        return next((claim for claim in self.claims if claim.number == number), None)

    def without_claims(self, ended: Iterable[Claim]) -> Self:
        """Return the manifest without these claims."""
        numbers = {claim.number for claim in ended}
        return replace(
            self, claims=tuple(claim for claim in self.claims if claim.number not in numbers)
        )

    def with_leftovers(self, places: Iterable[Place]) -> Self:
        """Return the manifest with further places that have to be emptied."""
        return replace(self, leftovers=tuple(sorted({*self.leftovers, *places})))

    def with_outputs(self, outputs: Iterable[Output], content: str | None) -> Self:
        """Return the manifest with these live outputs; others have to be removed."""
        outputs = tuple(outputs)
        live = {output.place for output in outputs}
        old = {output.place for output in self.outputs}
        leftovers = sorted((old | set(self.leftovers)) - live)
        return replace(
            self,
            outputs=outputs,
            content=content if outputs else None,
            leftovers=tuple(leftovers),
        )


class ManifestFile:
    """The manifest of one object, in its bucket.

    Args:
        store: the object store.
        bucket: the bucket of the manifests.
        key: the object key.
    """

    def __init__(self, store: ObjectStore, bucket: str, key: str) -> None:
        self._store, self._bucket, self._key = store, bucket, PREFIX + key

    def read(self) -> tuple[Manifest, str | None]:
        """Return the manifest and its etag; an empty manifest and None if there is none.

        Raises:
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        try:
            stored = self._store.get(self._bucket, self._key)
        except NotFoundError:
            return Manifest(), None
        return Manifest.from_json(json.loads(stored.data)), stored.etag

    def change(self, edit: Callable[[Manifest], Manifest]) -> Manifest:
        """Replace the manifest by ``edit`` of it, and return the new one.

        ``edit`` is called again with the new manifest if another case has changed it meanwhile.
        It may therefore be called several times, and it must not change anything itself.

        Raises:
            TransientError: other cases kept changing the manifest, or the store cannot answer now.
            ObjectError: the store refuses.
        """
        refused: str | None = ""
        for _ in range(_ROUNDS):
            current, etag = self.read()
            if etag == refused:
                raise ObjectError(
                    f"The store refuses to change a manifest in {self._bucket} though nobody else "
                    "has changed it: switch versions off for that bucket."
                )
            wanted = edit(current)
            if wanted == current:
                return current
            try:
                self.replace(current, wanted, etag)
            except ConflictError:
                refused = etag
                continue
            return wanted
        raise TransientError("Other cases of the same object keep changing its manifest.")

    def replace(self, current: Manifest, wanted: Manifest, etag: str | None) -> None:
        """Write ``wanted`` over the manifest ``current`` and its etag, None for no manifest.

        Even if nothing changes, the store is asked whether the manifest is still ``current``.

        Raises:
            ConflictError: there is another manifest by now.
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        if wanted != current:
            self._write(wanted, etag)
        elif self.read() != (current, etag):
            raise ConflictError("The manifest of the object has changed.")

    def delete(self) -> None:
        """Delete the manifest, if it is still that of a deleted object."""
        current, etag = self.read()
        if current.deleted and etag:
            with suppress(ConflictError):  # A case of a new upload has claimed the object.
                self._store.delete(self._bucket, self._key, etag=etag)

    def _write(self, manifest: Manifest, etag: str | None) -> None:
        document = {"schema": SCHEMA, **manifest.to_json()}
        self._store.put(
            self._bucket,
            self._key,
            json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            content_type="application/json",
            once=etag is None,
            over=etag,
        )
