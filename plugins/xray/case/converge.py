"""Converging: making what is in the buckets what the manifest says.

Every ending of an attempt converges its object: outputs that are not live are
removed, the attempt's claim ends, and requests that were withdrawn are put on
record. A place that another attempt may still write to is left to that attempt,
so that the last attempt to end leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from xray import audit
from xray.case.claim import without_request
from xray.case.manifest import RELEASE, REVIEW, Claim, Manifest, Output, Place, Request
from xray.case.requests import remove_marker
from xray.case.work import Work, clear_stage, record
from xray.errors import ConflictError, NotFoundError, TransientError, XrayError
from xray.storage import StoredObject

_ROUNDS = 30
"""How often an object is converged anew while other cases change its manifest."""


def converge(work: Work, ended: Claim | None = None) -> Manifest:
    """Remove all outputs that are not live, end a claim, and record withdrawn requests.

    Args:
        work: the case.
        ended: the claim of the attempt that ends; None to end no claim.

    Returns:
        The manifest, which the outputs equal unless other attempts are under way.

    Raises:
        TransientError: other cases kept changing the manifest, an older one has removed an output
            of the attempt, or the store cannot answer now.
        ObjectError: the store refuses.
    """
    # While the claim is there: a program that is killed here does it again.
    manifest = _record_withdrawals(work)
    if ended and manifest.claim != ended.number:
        withdraw_damaged(work, ended)
    elif ended and not _intact(work, manifest.outputs):
        raise TransientError(
            "An older case has removed an output while it was being published: the task will "
            "publish it again."
        )
    removed: dict[Place, StoredObject] = {}
    try:
        return _converge(work, ended, removed)
    except XrayError:
        with suppress(XrayError):
            current, _ = work.manifest.read()
            _restore(work, current.without_claims([ended] if ended else []), removed)
        raise


def _converge(work: Work, ended: Claim | None, removed: dict[Place, StoredObject]) -> Manifest:
    """Do what :func:`converge` says with the outputs; keep what is removed in ``removed``."""
    for _ in range(_ROUNDS):
        current, etag = work.manifest.read()
        held = current.held(ended.number) if ended else None
        rest = current.without_claims([ended] if ended else [])
        _restore(work, rest, removed)
        places = (held or ended).place_set() if ended else set()
        suspects = {*current.leftovers, *places} - {output.place for output in current.outputs}
        # Without a claim, others could not tell what is put back: they remove it when they end.
        leave = bool(rest.claims) and not held
        shared = {place for place in suspects if leave or _includes(rest.claims, place)}
        further = suspects - shared - places
        try:
            if held and further:
                # What the attempt removes it may have to put back: others leave that place to it.
                work.manifest.replace(current, _with_places(current, held, further), etag)
                continue
            for place in sorted(suspects - shared):
                _remove(work, place, removed)
            wanted = replace(rest, leftovers=tuple(sorted(shared)))
            work.manifest.replace(current, wanted, etag)
        except ConflictError:
            continue
        if wanted.deleted and not (wanted.claims or wanted.leftovers or wanted.cases):
            work.manifest.delete()
        return wanted
    raise TransientError("Other cases of the same object keep changing its outputs.")


def _with_places(manifest: Manifest, held: Claim, places: Iterable[Place]) -> Manifest:
    """Return the manifest with further places that an attempt may write to."""
    extended = replace(held, places=[*held.places, *(list(place) for place in sorted(places))])
    claims = tuple(extended if claim == held else claim for claim in manifest.claims)
    return replace(manifest, claims=claims)


def end_claim(work: Work, mine: Claim | None) -> None:
    """End a claim whose attempt may have left something half done; None to converge alone.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    if mine:
        withdraw_damaged(work, mine)
    converge(work, mine)


def remove_unfinished(work: Work, mine: Claim) -> None:
    """Remove what an attempt has written and not published, before it waits for hours.

    The attempt keeps its claim, and writes again when it goes on.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    removed: dict[Place, StoredObject] = {}
    for _ in range(_ROUNDS):
        current, etag = work.manifest.read()
        others = current.without_claims([mine])
        _restore(work, others, removed)
        if (held := current.held(mine.number)) is None:
            return  # Without a claim, others could not tell what is put back.
        unfinished = held.place_set() - {output.place for output in current.outputs}
        try:
            for place in sorted(unfinished):
                if not _includes(others.claims, place):
                    _remove(work, place, removed)
            # Unchanged: a conflict says that another attempt has begun meanwhile.
            work.manifest.replace(current, current, etag)
        except ConflictError:
            continue
        return


def withdraw_damaged(work: Work, mine: Claim) -> None:
    """Withdraw the live outputs if the attempt has damaged them, or if they show another upload.

    An attempt that is killed while it removes an output cannot put it back if another attempt has
    published the same bytes meanwhile. A review that the attempt waits for is withdrawn as well.
    """

    def edit(current: Manifest) -> Manifest:
        waiting = current.waiting
        if waiting and (waiting.kind, waiting.claim) == (REVIEW, mine.number):
            current = without_request(current)
        upload = current.upload if current.claim == mine.number else None
        outdated = upload is not None and current.content not in (None, upload.sha256)
        # A later attempt that is under way checks its places itself.
        later = [claim for claim in current.claims if claim.number > mine.number]
        own = [one for one in current.outputs if not _includes(later, one.place)]
        if not outdated and _intact(work, own):
            return current
        if current.waiting and current.waiting.kind == RELEASE:
            current = without_request(current)
        return current.with_outputs((), None)

    work.manifest.change(edit)


def _includes(claims: Iterable[Claim], place: Place) -> bool:
    """Return whether an attempt with one of the claims may write to a place."""
    return any(claim.includes(place) for claim in claims)


def _intact(work: Work, outputs: Iterable[Output]) -> bool:
    """Return whether these outputs are there, as they were written."""
    for output in outputs:
        head = work.store.head(output.bucket, output.key)
        if head is None or head.etag != output.etag:
            return False
    return True


def _remove(work: Work, place: Place, removed: dict[Place, StoredObject]) -> None:
    """Remove the object at a place, and keep it in ``removed``.

    Raises:
        ConflictError: the object changes while it is being removed.
    """
    bucket, key = place
    try:
        stored = work.store.get(bucket, key)
    except NotFoundError:
        return
    removed[place] = stored
    work.store.delete(bucket, key, etag=stored.etag)


def _restore(work: Work, current: Manifest, removed: dict[Place, StoredObject]) -> None:
    """Put back what was removed while another attempt was writing the same bytes there.

    The attempt may have written them after the manifest was read and before they were removed.
    """
    for (bucket, key), stored in list(removed.items()):
        place = (bucket, key)
        if current.live(place) or _includes(current.claims, place):
            with suppress(ConflictError):  # The attempt has written it again.
                work.store.put(
                    bucket,
                    key,
                    stored.data,
                    content_type=stored.content_type,
                    metadata=stored.metadata,
                    once=True,
                )
            del removed[place]


def _record_withdrawals(work: Work) -> Manifest:
    """Record the withdrawn requests, and return the manifest."""
    manifest, _ = work.manifest.read()
    for request in manifest.withdrawn:
        _record_withdrawal(work, request, nameless=manifest.deleted)
    done = set(manifest.withdrawn)
    return work.manifest.change(
        lambda current: replace(
            current, withdrawn=tuple(one for one in current.withdrawn if one not in done)
        )
    )


def _record_withdrawal(work: Work, request: Request, *, nameless: bool) -> None:
    """Close the form of a withdrawn request, and record the withdrawal once."""
    work.close_form(request)
    withdrawn = replace(work, carried_id=request.case_id, claim=request.claim)
    if request.kind == REVIEW and not request.answered:
        clear_stage(withdrawn)
    record(
        withdrawn,
        audit.WITHDRAWN,
        nameless=nameless,
        token=f"{request.marker}:withdrawn:0",
        claim=request.claim,
        request=request.to_record(),
    )
    remove_marker(work.store, work.buckets, request)
