"""Claims: which case owns an object.

An attempt of a case claims the object before it publishes anything, and gets a
number. The last number owns the object: a case with an earlier one publishes
nothing, and a form that waits for it is withdrawn.

A case whose upload is not the present one gets no claim. The store itself says
which upload is present. If the original is gone, the uploads are ordered by what
the store orders them by: the sequencer, then the time of the event. The clock of
this machine plays no part.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from xray import audit
from xray.case.manifest import REVIEW, Claim, Manifest, Place, Upload
from xray.case.pictures import View, picture_name, thumbnail_key
from xray.case.source import RESTARTING_SEQUENCERS, Source
from xray.case.values import Pinned
from xray.case.work import Work
from xray.suffixes import CERTIFICATE_KEY
from xray.times import time_of

_CEPH = "ceph"
_CEPH_DIGITS = 16
"""The digits of a sequencer of Ceph: two little-endian numbers of 32 bits."""


def claim(work: Work, pinned: Pinned) -> Manifest:
    """Claim the object for an attempt of a case, unless it has a claim, and return the manifest.

    :func:`own_claim` tells whether the attempt owns the object then.

    Raises:
        TransientError: other cases kept changing the manifest, or the store cannot answer now.
        ObjectError: the store refuses.
    """
    upload = upload_of(work.source, pinned)
    inherited: list[Place] | None = None

    def edit(current: Manifest) -> Manifest:
        nonlocal inherited
        if last_claim(work, current) or forgotten(work, current):
            return current
        if superseded(work, upload, current):
            return current
        if inherited is None and not current.claim:
            inherited = _inherited(work, pinned)
        current = without_request(current)
        claimed = replace(with_claim(work, pinned, current), upload=upload)
        return claimed.with_leftovers(inherited or ())

    return work.manifest.change(edit)


def without_request(manifest: Manifest) -> Manifest:
    """Return the manifest with the request that waits withdrawn.

    An attempt that waits for a review has no other work to do, so its claim ends as well.
    """
    waiting = manifest.waiting
    if waiting is None:
        return manifest
    idle = waiting.kind == REVIEW and not waiting.answered
    ended = [claim for claim in manifest.claims if idle and claim.number == waiting.claim]
    places = set[Place]().union(*(claim.place_set() for claim in ended))
    places -= {output.place for output in manifest.outputs}
    rest = manifest.without_claims(ended).with_leftovers(places)
    return replace(rest, waiting=None, withdrawn=(*manifest.withdrawn, waiting))


def own_claim(work: Work, manifest: Manifest) -> Claim | None:
    """Return the attempt's claim if the attempt owns the object; None otherwise."""
    mine = last_claim(work, manifest)
    owns = mine and mine.number == manifest.claim and not manifest.deleted
    return mine if owns else None


def last_claim(work: Work, manifest: Manifest) -> Claim | None:
    """Return the attempt's last claim, whether or not a later one has followed; None if it has
    ended, or was never made."""
    mine = [
        claim
        for claim in manifest.claims
        if claim.token == work.token or (claim.case_id, claim.number) == (work.case_id, work.claim)
    ]
    return mine[-1] if mine else None


def claim_of_task(work: Work, manifest: Manifest) -> Claim | None:
    """Return the claim that the task itself has made; None if it has ended, or was never made."""
    mine = [claim for claim in manifest.claims if claim.token == work.token]
    return mine[-1] if mine else None


def forgotten(work: Work, manifest: Manifest) -> bool:
    """Return whether the object's outputs were deleted on request after the attempt had begun."""
    return manifest.forgets(work.claim)


def upload_of(source: Source, pinned: Pinned | None) -> Upload:
    """Return the upload of a case, with what *fetch* found if it found something."""
    return Upload(
        version_id=pinned.version_id if pinned else source.version_id,
        etag=pinned.etag if pinned else source.etag,
        sha256=pinned.sha256 if pinned else None,
        modified=pinned.modified if pinned else None,
        sequencer=source.sequencer,
        event_time=source.event_time,
        origin=source.origin,
    )


def superseded(work: Work, upload: Upload, manifest: Manifest) -> bool:
    """Return whether another upload of the object has taken the place of this one.

    The manifest must have been read before this is called: an upload that is made later is then
    seen, because its case changes the manifest.
    """
    head = work.store.head(work.source.bucket, work.source.key)
    if head is None:  # The original was moved or deleted.
        if work.settings.follow_deletions:
            return True
        return manifest.upload is not None and precedes(upload, manifest.upload)
    if upload.version_id and head.version_id:
        return upload.version_id != head.version_id
    return upload.etag is not None and upload.etag != head.etag


def precedes(upload: Upload, other: Upload) -> bool:
    """Return whether ``upload`` was made before ``other``."""
    if (upload.version_id, upload.etag) == (other.version_id, other.etag):
        return False
    mine, others = _sequence(upload), _sequence(other)
    if mine and others and upload.origin == other.origin:
        width = max(len(mine), len(others))
        return mine.ljust(width, "0") < others.ljust(width, "0")
    first, second = _moment(upload), _moment(other)
    return first is not None and second is not None and first < second


def _sequence(upload: Upload) -> str | None:
    """Return a sequencer that can be compared as text; None if there is none.

    Sources: the Amazon S3 User Guide, "Event message structure" (hexadecimal; the shorter one is
    padded with zeros on the right); Ceph's ``rgw_notify.cc``, which writes the bytes of the time as
    they are in memory.
    """
    sequencer = upload.sequencer
    if not sequencer or upload.origin in RESTARTING_SEQUENCERS:
        return None
    if upload.origin == _CEPH:
        try:
            content = bytes.fromhex(sequencer)
        except ValueError:
            return None
        if len(sequencer) != _CEPH_DIGITS:
            return None
        return (content[3::-1] + content[:3:-1]).hex()
    return sequencer.lower()


def _moment(upload: Upload) -> datetime | None:
    """Return the time of the event or, if there is none, of the upload."""
    for text in (upload.event_time, upload.modified):
        if moment := time_of(text):
            return moment
    return None


def with_claim(work: Work, pinned: Pinned, current: Manifest) -> Manifest:
    """Return the manifest with one more claim, which owns the object."""
    number = current.claim + 1
    # The tasks of a run follow each other: its earlier attempts have ended, however they did.
    ended = [
        claim
        for claim in current.claims
        if claim.case_id == work.case_id and run_of(claim.token) == run_of(work.token)
    ]
    places = set(_places(work, pinned, number)).union(*(claim.place_set() for claim in ended))
    mine = Claim(
        number=number,
        case_id=work.case_id,
        token=work.token,
        at=datetime.now(UTC).isoformat(),
        places=[list(place) for place in sorted(places)],
    )
    rest = current.without_claims(ended)
    return replace(
        rest,
        claim=number,
        case_id=work.case_id,
        claims=(*rest.claims, mine),
        deleted=False,
        cases=tuple(dict.fromkeys((*rest.cases, work.case_id))),
    )


def run_of(token: str) -> str:
    """Return the id of the run that a token belongs to."""
    return token.rsplit(":", 2)[0]


def _places(work: Work, pinned: Pinned, number: int) -> list[Place]:
    """Return the places that an attempt may write to."""
    from xray.image import Format

    buckets, source = work.buckets, work.source
    suffix = work.anonymized_format(pinned).suffix
    anonymized, *_ = work.anonymized_keys(pinned.etag, suffix)
    is_dicom = Format(pinned.format) is Format.DICOM
    evidence = source.evidence_key(Format.PNG.suffix if is_dicom else "")
    quarantined = [quarantined_key(work.case_id, number, suffix)]
    quarantined += [picture_name(work.case_id, number, view) for view in View]
    report = [(buckets.processed, source.report_key())] if is_dicom else []
    return [
        (buckets.processed, source.processed_key()),
        (buckets.processed, evidence),
        *report,
        (buckets.manifests, thumbnail_key(work.case_id)),
        (buckets.anonymized, anonymized),
        (buckets.anonymized, anonymized + CERTIFICATE_KEY),
        *((buckets.quarantine, key) for key in quarantined),
    ]


def quarantined_key(case_id: str, number: int, suffix: str) -> str:
    """Return the key of a quarantined image in the quarantine bucket."""
    return f"{case_id}/{number}/image{suffix}"


def _inherited(work: Work, pinned: Pinned) -> list[Place]:
    """Return the places that cases of versions without manifests may have written to.

    Only the audit trail has the keys that an older secret or ``patient_pattern`` gave.
    """
    from xray.image import Format, anonymous_format

    buckets = work.buckets
    suffix = anonymous_format(Format(pinned.format)).suffix
    found = {(buckets.anonymized, key) for key in work.anonymized_keys(pinned.etag, suffix)}
    found |= {(bucket, key + CERTIFICATE_KEY) for bucket, key in found}
    object_id = work.source.object_id(work.keyring)
    cases = {entry.key.partition("/")[0] for entry in work.store.list(buckets.audit, object_id)}
    for case_id in cases:
        for record in audit.records(work.store, buckets.audit, case_id):
            found |= {(one["bucket"], one["key"]) for one in record.get("outputs") or ()}
    return sorted(found)
