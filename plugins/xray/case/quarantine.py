"""A person's decision on a quarantined image: its request, its release and its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xray import audit
from xray.case import agreement
from xray.case.claim import claim_of_task, own_claim, superseded, upload_of, with_claim
from xray.case.converge import end_claim
from xray.case.manifest import RELEASE, Manifest, Output, Request
from xray.case.pictures import View, is_picture, picture_name, put_pictures
from xray.case.publish import publish_anonymized
from xray.case.requests import (
    ask,
    finish,
    put_marker,
    refuse,
    release_request,
    reserve,
    waiting_request,
)
from xray.case.steps import anonymous_caption_of
from xray.case.values import Decision, Pinned, Scored
from xray.case.work import Work, record, recorded
from xray.case.writer import Writer, writing
from xray.errors import ObjectError, StaleError
from xray.storage import StoredObject
from xray.suffixes import BucketSuffix

if TYPE_CHECKING:
    from xray.redaction import Box

RELEASE_AS_IT_IS = "Release as it is"
MASK = "Mask and release"
WITHHOLD = "Keep in quarantine"
RELEASE_CHOICES = (RELEASE_AS_IT_IS, MASK, WITHHOLD)
"""The choices of the person who is shown a quarantined image."""


def open_request(work: Work, pinned: Pinned, scored: Scored) -> Request:
    """Return the request that a case in quarantine waits with; ask again if it was decided on.

    Raises:
        StaleError: the image is no longer in quarantine, or a later case has taken over.
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    if not work.claim:
        return _adopt(work, pinned, scored)
    if waiting := waiting_request(work, RELEASE):
        return waiting
    manifest, _ = work.manifest.read()
    image = _quarantined(work, manifest)
    if image is None:
        raise StaleError(
            f"The image is no longer in {work.buckets.quarantine}: the case was run again, or "
            "somebody has decided on it already."
        )
    request = release_request(work.case_id, work.claim, image)
    ask(work, pinned, scored, request)
    return request


def release(
    work: Work,
    pinned: Pinned,
    scored: Scored,
    request: Request,
    *,
    choice: str,
    boxes: Sequence[Box],
    by: str | None,
    at: str,
    account: str | None = None,
) -> Decision | None:
    """Apply and record a person's decision on a quarantined image.

    Args:
        work: the case.
        pinned: the result of *fetch*.
        scored: the result of *classify*, or of the review after it.
        request: what the person was asked.
        choice: one of :data:`RELEASE_CHOICES`.
        boxes: further regions to remove: left, top, right, bottom in pixels.
        by: the person.
        at: the time of the decision, in ISO 8601.
        account: the person's account, which no other person has.

    Returns:
        What became of the image; None if another person has to agree: see
        :mod:`xray.case.agreement`.

    Raises:
        StaleError: the case, the image or the upload is not the one that the person was asked
            about, or the request has another answer. The refusal is on record.
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    answer = {"choice": choice, "by": by, "at": at}
    written = recorded(work, audit.RELEASED)
    if written is None:
        first = None
        if choice != WITHHOLD:
            if agreement.is_missing(work, request, {**answer, "account": account}, boxes):
                return None
            first = agreement.first_answer(work, request, choice)
        boxes = [*(first["boxes"] if first else ()), *boxes]
        outputs: Sequence[Output] = ()
        sent = dict[str, Any]()
        try:
            if choice == WITHHOLD:
                reserve(work, request, answer)
            else:
                writer = _publish(work, pinned, scored, request, boxes, answer)
                outputs, sent = writer.outputs, writer.sent_facts()
        except StaleError:
            _end_claim(work)
            raise
        written = record(
            work,
            audit.RELEASED,
            claim=request.claim,
            request=request.to_record(),
            scored=scored.to_json(),
            decision=Decision.QUARANTINED if choice == WITHHOLD else Decision.ANONYMIZED,
            outputs=[output.to_record() for output in outputs],
            **sent,
            release={
                **answer,
                "boxes": [list(box) for box in boxes],
                **({"agreed": {name: first[name] for name in ("by", "at")}} if first else {}),
            },
        )
    if written["decision"] == Decision.QUARANTINED:
        finish(work, request)
    else:
        finish(work, request, _without_quarantine)
    _end_claim(work)
    return Decision(written["decision"])


def _end_claim(work: Work) -> None:
    """End the claim that the task has made, also in an earlier try."""
    end_claim(work, claim_of_task(work, work.manifest.read()[0]))


def _without_quarantine(manifest: Manifest) -> Manifest:
    """Return the manifest without the quarantined image and its pictures."""
    outputs = [one for one in manifest.outputs if not one.bucket.endswith(BucketSuffix.QUARANTINE)]
    return manifest.with_outputs(outputs, manifest.content)


def _publish(
    work: Work,
    pinned: Pinned,
    scored: Scored,
    request: Request,
    boxes: Sequence[Box],
    answer: dict[str, Any],
) -> Writer:
    """Publish a quarantined image with the ``boxes`` masked, and return what has written it."""
    manifest, _ = work.manifest.read()
    if superseded(work, upload_of(work.source, pinned), manifest):
        refuse(work, request, answer, "Nothing was released: a newer upload has taken the place.")
    stored = _read_quarantined(work, manifest, request, answer)
    manifest = reserve(work, request, answer, lambda current: with_claim(work, pinned, current))
    own = own_claim(work, manifest)
    try:
        if own is None:
            raise StaleError("Nothing was released: a later case of the object has taken over.")
        image, content_type, suffix = _masked(work, scored, stored, boxes)
        key, *_ = work.anonymized_keys(pinned.etag, suffix)
        with writing(work, manifest, own) as writer:
            redaction = _recorded_redaction(work)
            publish_anonymized(
                writer, work, key, image, content_type, scored, redaction, masked=len(boxes)
            )
            writer.commit(pinned.sha256, manifest.waiting, kept=manifest.outputs)
    except StaleError as error:
        refuse(work, request, answer, str(error), **error.facts)
    return writer


def _masked(
    work: Work, scored: Scored, stored: StoredObject, boxes: Sequence[Box]
) -> tuple[bytes, str, str]:
    """Return the image to publish, its media type and its suffix."""
    from xray.image import ANY_SIZE, Format, anonymous, decode, encode, print_caption
    from xray.redaction import masked

    quarantined = decode(stored.data, limits=ANY_SIZE)
    picture = anonymous(quarantined)  # 0.1.0 kept depth and colour.
    caption = anonymous_caption_of(scored, work.settings)
    drawn = print_caption(masked(picture.pixels, boxes), caption)
    form = quarantined.format
    if form is Format.DICOM:
        from xray.image.dicom import with_pixels

        data = with_pixels(stored.data, drawn)
    else:
        data = encode(replace(picture, pixels=drawn))
    return data, form.content_type, form.suffix


def _read_quarantined(
    work: Work, manifest: Manifest, request: Request, answer: dict[str, Any]
) -> StoredObject:
    """Return the quarantined image that a request is about.

    Raises:
        StaleError: it is gone or was changed. The refusal is on record.
    """
    bucket = work.buckets.quarantine
    image = _quarantined(work, manifest)
    stored = work.store.get(bucket, image.key) if image and image.sha256 == request.sha256 else None
    if stored is None or stored.sha256 != request.sha256:
        refuse(
            work,
            request,
            answer,
            f"Nothing was released: the image in {bucket} is not the one that was shown.",
        )
    return stored


def _quarantined(work: Work, manifest: Manifest) -> Output | None:
    """Return the live quarantined image of the case; None if there is none."""
    bucket = work.buckets.quarantine
    found = (
        output
        for output in manifest.outputs
        if output.bucket == bucket
        and output.key.startswith(f"{work.case_id}/")
        and not is_picture(output.key)
    )
    return next(found, None)


def _adopt(work: Work, pinned: Pinned, scored: Scored) -> Request:
    """Return the request of a case that a version without manifests has put into quarantine.

    The form of such a case was opened before the upgrade. It is about the image on record.

    Raises:
        StaleError: the image is no longer in quarantine, or a later case has taken over.
    """
    entry = _entry_on_record(work)
    head = work.store.head(entry["bucket"], entry["key"])
    if head is None:
        raise StaleError(f"The image is no longer in {work.buckets.quarantine}.")
    image = Output(**entry, etag=head.etag)
    first = replace(work, claim=1)
    request = release_request(first.case_id, first.claim, image)
    put_marker(first, pinned, scored, request)

    def edit(current: Manifest) -> Manifest:
        if current.claim:
            return current
        upload = upload_of(work.source, pinned)
        adopted = replace(current, claim=1, case_id=work.case_id, upload=upload, waiting=request)
        return adopted.with_outputs([image], pinned.sha256)

    waiting = work.manifest.change(edit).waiting
    if waiting is None or (waiting.case_id, waiting.sha256) != (work.case_id, image.sha256):
        raise StaleError("The case was run again: the new form is about its new result.")
    return waiting


def _entry_on_record(work: Work) -> dict[str, Any]:
    """Return the audit record's entry for the image that was put into quarantine last."""
    trail = audit.records(work.store, work.buckets.audit, work.case_id)
    entries = [
        output
        for earlier in trail
        for output in earlier.get("outputs") or ()
        if output["bucket"] == work.buckets.quarantine and not is_picture(output["key"])
    ]
    if not entries:
        raise StaleError(f"No image of the case is on record in {work.buckets.quarantine}.")
    entry: dict[str, Any] = entries[-1]
    return entry


def show(work: Work, request: Request) -> None:
    """Put the pictures that a person is shown beside a quarantined image, if they are not there."""
    from xray.image import ANY_SIZE, anonymous, decode

    bucket = work.buckets.quarantine
    if work.store.head(bucket, picture_name(work.case_id, request.claim, View.PREVIEW)):
        return
    image = _quarantined(work, work.manifest.read()[0])
    if image is None:
        raise StaleError(f"The image is no longer in {bucket}.")
    picture = anonymous(decode(work.store.get(bucket, image.key).data, limits=ANY_SIZE))
    entries = put_pictures(work.store, bucket, work.case_id, request.claim, picture, rulers=True)
    shown = tuple(Output(**entry) for entry in entries)

    def edit(current: Manifest) -> Manifest:
        if image in current.outputs:
            return replace(current, outputs=(*current.outputs, *shown))
        return current.with_leftovers(output.place for output in shown)

    work.manifest.change(edit)


def _recorded_redaction(work: Work) -> dict[str, Any]:
    """Return the result of the redaction after which the image was quarantined."""
    trail = audit.records(work.store, work.buckets.audit, work.case_id)
    found = [earlier["redaction"] for earlier in trail if "redaction" in earlier]
    if not found:
        raise ObjectError(
            f"The record of the quarantine is no longer in {work.buckets.audit}: clear the case's "
            "run."
        )
    result: dict[str, Any] = found[-1]
    return result
