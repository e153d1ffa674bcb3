"""Deleting what was made of an object: its outputs, and the names in its audit trails.

A deletion is about an object whose original is gone. It marks the manifest as
deleted, by compare-and-set, so that no attempt of a case publishes anything more.
Then it removes the outputs, the staged and quarantined images and the requests, and
replaces each audit trail of the object by one record that names no one. The manifest
goes last: it lists what is left to do, so that a deletion that was cut off can be
completed.

An attempt that is under way keeps its places until it ends. It finds the mark, and
removes what it has written; the last one removes the manifest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xray import audit
from xray.case.claim import run_of
from xray.case.converge import converge
from xray.case.manifest import REVIEW, Claim, Manifest, Place
from xray.case.pictures import THUMBNAILS
from xray.case.requests import remove_markers
from xray.case.source import CASE_ID, OBJECT_DIGITS, Source
from xray.case.values import SOURCE_ETAG
from xray.case.work import Work, erase_trail
from xray.errors import ForbiddenError, ObjectError
from xray.notification import ObjectRemoved
from xray.pseudonym import Keyring, pseudonym

RUN_PREFIX = "xray_forget__"
"""What the id of a run for a removal starts with."""
ORIGINAL_THERE = "original_there"
"""The counter of objects that were left alone, because their originals are still there."""
NO_TRAIL_ERASED = "trails_not_erased"
"""The counter of audit trails that name the object still: the store forbids to delete them."""
VERSIONS_KEPT = "versions_kept"
"""The counter of removed objects and records of which the store keeps the old versions."""
_NO_RECORD = "no-record"
"""A key that no record has. Deleting it tells whether the store lets records be deleted."""
_NO_VERSION = (None, "", "null")
"""The version ids of an object in a bucket that keeps no versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """Why what was made of an object is deleted, and who asked for it."""

    reason: str
    """In one sentence that names no patient."""
    by: str | None
    """The person; None for a notification of the store."""
    dry_run: bool = False
    """Whether to count only."""
    under_way: Callable[[str], bool] = field(default=lambda _: True)
    """Returns whether the run with an id has not ended. The claims of the others end now."""


def removal_source(removed: ObjectRemoved) -> Source:
    """Return the source that a removal is about."""
    return Source(
        bucket=removed.bucket,
        key=removed.key,
        version_id=removed.version_id,
        sequencer=removed.sequencer,
        event_time=removed.event_time,
        origin=removed.dialect,
    )


def removal_run_id(source: Source, keyring: Keyring) -> str:
    """Return the id of the run for a removal: the same for a repeated notification.

    It has nothing in common with a case id.
    """
    parts = (source.version_id, source.sequencer, source.event_time)
    digits = pseudonym(
        keyring.case_secret, "removal", source.bucket, source.key, *(part or "" for part in parts)
    )
    return RUN_PREFIX + digits


def removal_conf(source: Source, keyring: Keyring) -> dict[str, Any]:
    """Return the conf of the run for a removal, with the object key sealed."""
    conf = source.to_conf(keyring)
    del conf[CASE_ID]  # A removal belongs to all cases of the object.
    return conf


def forget_object(work: Work, deletion: Deletion, cases: Iterable[str] = ()) -> Counter[str]:
    """Delete what was made of an object, unless its original is there.

    The function is safe to repeat. A deletion that was cut off is completed.

    Args:
        work: the object, and the task at work. It needs no case of its own.
        deletion: the reason.
        cases: the ids of cases of the object that are known already.

    Returns:
        How many objects were forgotten or left alone, and how much was removed, by the names of
        the counters in docs/deletion.md. No counter names anyone.

    Raises:
        TransientError: other cases kept changing the manifest, or the store cannot answer now.
        ObjectError: the store refuses, other than the deletion of audit records.
    """
    if _original_is_there(work):
        return Counter({ORIGINAL_THERE: 1})
    current, _ = work.manifest.read()
    known = _known_cases(work, current, cases)
    places = _places_on_record(work, known)
    if not current.claim:
        places |= _annotated(work)
    if current == Manifest() and not (known or places):
        return Counter(unknown=1)
    if deletion.dry_run:
        return _survey(work, _marked(current, known, places, deletion))

    def edit(manifest: Manifest) -> Manifest:
        # Asked again: a case of a new upload changes the manifest.
        if _original_is_there(work):
            return manifest
        return _marked(manifest, known, places, deletion)

    marked = work.manifest.change(edit)
    if not marked.deleted:
        return Counter({ORIGINAL_THERE: 1})
    counts = _survey(work, marked)
    converge(work)
    for case_id in marked.cases:
        _remove_images(work, marked, case_id)
        remove_markers(replace(work, carried_id=case_id))
    counts += _erase_trails(work, marked.cases, deletion)
    converge(work)
    return counts


def _remove_images(work: Work, marked: Manifest, case_id: str) -> None:
    """Remove the staged and quarantined images of a case, but those of a rerun since."""
    for place in list(_images(work, marked, case_id)):
        if not _in_use(work, place):
            work.store.delete(*place)


def _original_is_there(work: Work) -> bool:
    return work.store.head(work.source.bucket, work.source.key) is not None


def _known_cases(work: Work, manifest: Manifest, cases: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the object's cases: of the manifest, and of cases of the same contents."""
    found = {*manifest.cases, *cases, *(claim.case_id for claim in manifest.claims)}
    sources = [work.source]
    if manifest.upload:
        upload = manifest.upload
        sources.append(replace(work.source, version_id=upload.version_id, etag=upload.etag))
    annotated = work.store.head(work.buckets.processed, work.source.processed_key())
    if annotated and (etag := annotated.metadata.get(SOURCE_ETAG)):
        sources.append(replace(work.source, etag=etag))
    contents = {case_id[:OBJECT_DIGITS] for case_id in found}
    contents |= {source.object_id(work.keyring) for source in sources if source.etag}
    audited = work.buckets.audit
    for content in contents:
        listed = {entry.key.partition("/")[0] for entry in work.store.list(audited, content)}
        found |= {case_id for case_id in listed - found if _names_someone(work, case_id)}
    return tuple(sorted(found))


def _places_on_record(work: Work, cases: Iterable[str]) -> set[Place]:
    """Return the places that the cases have written to, by their audit trails.

    Versions without manifests have left no other trace of them.
    """
    buckets = work.buckets
    outputs = (buckets.processed, buckets.anonymized, buckets.quarantine)
    return {
        (output["bucket"], output["key"])
        for case_id in cases
        for record in audit.records(work.store, buckets.audit, case_id)
        for output in record.get("outputs") or ()
        if output["bucket"] in outputs
        or (output["bucket"] == buckets.manifests and output["key"].startswith(THUMBNAILS))
    }


def _annotated(work: Work) -> set[Place]:
    """Return the places of the annotated image and of what was published beside it, if they are
    there."""
    bucket, source = work.buckets.processed, work.source
    beside = (source.evidence_key(), source.evidence_key(".png"), source.report_key())
    keys = (source.processed_key(), *beside)
    return {(bucket, key) for key in keys if work.store.head(bucket, key)}


def _marked(
    manifest: Manifest, known: Iterable[str], places: set[Place], deletion: Deletion
) -> Manifest:
    """Return the manifest of the deleted object: no output is live, and no request waits."""
    waiting = manifest.waiting
    ended = [
        claim
        for claim in manifest.claims
        if _waits_for_review(manifest, claim) or not deletion.under_way(run_of(claim.token))
    ]
    left = places.union(*(claim.place_set() for claim in ended))
    return replace(
        manifest.with_leftovers(left).without_claims(ended).with_outputs((), None),
        deleted=True,
        waiting=None,
        withdrawn=(*manifest.withdrawn, *([waiting] if waiting else ())),
        cases=tuple(dict.fromkeys((*manifest.cases, *known))),
    )


def _waits_for_review(manifest: Manifest, claim: Claim) -> bool:
    """Return whether an attempt does nothing but wait for a person, whose form is withdrawn now."""
    waiting = manifest.waiting
    return (
        waiting is not None
        and waiting.kind == REVIEW
        and waiting.answered is None
        and waiting.claim == claim.number
    )


def _survey(work: Work, marked: Manifest) -> Counter[str]:
    """Count what a deletion removes."""
    counts = Counter(forgotten=1, under_way=len(marked.claims))
    for bucket, key in marked.leftovers:
        if bucket != work.buckets.quarantine and (head := work.store.head(bucket, key)):
            counts["outputs"] += 1
            counts[VERSIONS_KEPT] += head.version_id not in _NO_VERSION
    for case_id in marked.cases:
        for bucket, _ in _images(work, marked, case_id):
            counts["staged" if bucket == work.buckets.staging else "quarantined"] += 1
        counts["trails"] += not _is_erased(work, case_id)
    return counts


def _images(work: Work, manifest: Manifest, case_id: str) -> Iterator[Place]:
    """Yield the places of a case's staged and quarantined images that no attempt may write to."""
    for entry in work.store.list(work.buckets.staging, f"{case_id}/"):
        yield work.buckets.staging, entry.key
    for entry in work.store.list(work.buckets.quarantine, f"{case_id}/"):
        place = (work.buckets.quarantine, entry.key)
        if not any(claim.includes(place) for claim in manifest.claims):
            yield place


def _in_use(work: Work, place: Place) -> bool:
    """Return whether a case that was run again since has put an image there."""
    manifest, _ = work.manifest.read()
    return bool(manifest.live(place)) or any(claim.includes(place) for claim in manifest.claims)


def _names_someone(work: Work, case_id: str) -> bool:
    """Return whether the audit trail of a case holds the object key."""
    return any(map(_has_key, audit.records(work.store, work.buckets.audit, case_id)))


def _is_erased(work: Work, case_id: str) -> bool:
    """Return whether the deletion of a case's audit trail is complete."""
    trail = audit.records(work.store, work.buckets.audit, case_id)
    deletions = [n for n, record in enumerate(trail) if record.get("outcome") == audit.DELETED]
    return deletions == [0] and not any(map(_has_key, trail))


def _has_key(record: Mapping[str, Any]) -> bool:
    return (record.get("source") or {}).get("key") is not None


def _erase_trails(work: Work, cases: Iterable[str], deletion: Deletion) -> Counter[str]:
    """Erase the audit trails of cases, and take the erased ones off the manifest's list."""
    counts, erased = Counter[str](), set[str]()
    for case_id in cases:
        own = replace(work, carried_id=case_id)
        try:
            if not _is_erased(work, case_id):
                # Asked first: a record of a deletion that did not take place would be wrong.
                work.store.delete(work.buckets.audit, _NO_RECORD)
                erase_trail(own, work.token, deletion.reason, deletion.by)
                counts[VERSIONS_KEPT] += _keeps_versions(own)
        except (ForbiddenError, ObjectError):
            counts[NO_TRAIL_ERASED] += 1
            continue
        erased.add(case_id)
    work.manifest.change(
        lambda current: replace(
            current, cases=tuple(one for one in current.cases if one not in erased)
        )
    )
    return counts


def _keeps_versions(work: Work) -> bool:
    """Return whether the bucket of the audit trail keeps the records that were deleted."""
    bucket = work.buckets.audit
    for entry in work.store.list(bucket, f"{work.case_id}/"):
        head = work.store.head(bucket, entry.key)
        return head is not None and head.version_id not in _NO_VERSION
    return False
