"""What the steps of a case do: fetch, classify, review, annotate, anonymize, store, release.

Plain functions over a store; :mod:`xray.airflow.case.tasks` makes tasks of them.
Each works on the object that *fetch* pinned and looks at nothing but its
arguments. Modules about pixels are imported by the step that needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from xray import audit
from xray.case import Buckets, Outcome, Pinned, Scored, Source, Staged
from xray.errors import NotFoundError, ObjectError, PermanentError, SettingsError, XrayError
from xray.pseudonym import Keyring
from xray.settings import Label, Settings
from xray.storage import ObjectStore

if TYPE_CHECKING:
    from xray.image import Limits, Picture
    from xray.redaction import Box

ON_ITS_WAY = timedelta(minutes=5)
"""How long after its notification an object may be missing: some stores announce it early."""
STORE = "store"
"""The one step that publishes."""
PREVIEW = "preview.jpeg"
PREVIEW_SIDE = 1200
"""Pixels of a preview's longer side, at most."""
KEEP = "Keep Unsure"
CHOICES = (Label.NORMAL.value, Label.PNEUMONIA.value, KEEP)
"""What a reviewer chooses from."""
RELEASE, MASK, WITHHOLD = "Release as it is", "Mask and release", "Keep in quarantine"
RELEASE_CHOICES = (RELEASE, MASK, WITHHOLD)
"""What a person chooses from who is shown a quarantined image."""
QUARANTINED = "quarantined"
PUBLISHED = "published and anonymised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A case, and all that its steps need to work on it."""

    store: ObjectStore
    source: Source
    settings: Settings
    keyring: Keyring
    """What case ids and pseudonyms are keyed with."""
    run: Mapping[str, Any]
    """Of the task at work, for the audit record: run_id, task, try, triggered_by, reran_by."""
    token: str
    """The same for all tries of the task's attempt, another when it is cleared and run again."""

    @property
    def buckets(self) -> Buckets:
        """Where things go."""
        return Buckets(self.source.bucket)

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.source.case_id(self.keyring)

    def anonymized_keys(self, etag: str, suffix: str) -> list[str]:
        """Where the anonymised image goes, and where it went under the secrets before this one."""
        pattern = self.settings.patient_pattern
        return self.source.anonymized_keys(self.keyring, etag, suffix, pattern)

    @property
    def limits(self) -> Limits:
        """What an image may cost."""
        from xray.image import Limits

        settings = self.settings
        return Limits(settings.max_bytes, settings.max_pixels, settings.max_frames)


def fetch(work: Work) -> Pinned:
    """Find the object, check that it is an image within the limits, and pin it.

    Raises:
        NotFoundError: it is not there yet, though it was announced just now.
        TransientError: the store cannot answer.
        ObjectError: it is gone, was replaced since its notification, or may not be read.
        ImageError: it is no image that can be processed.
    """
    from xray.image import decode

    source = work.source
    try:
        content = work.store.read(
            source.bucket,
            source.key,
            version_id=source.version_id,
            etag=source.etag,
            max_bytes=work.settings.max_bytes,
        )
    except NotFoundError as error:
        raise _absent(source, error) from None
    picture = decode(content.data, limits=work.limits)
    return Pinned(
        case_id=work.case_id,
        version_id=content.version_id,
        etag=content.etag,
        sha256=content.sha256,
        size=len(content.data),
        modified=content.modified.isoformat(),
        format=picture.format.value,
        width=picture.pixels.width,
        height=picture.pixels.height,
        settings=work.settings.to_mapping(),
    )


def classify(work: Work, pinned: Pinned) -> Scored:
    """Score the risk of pneumonia and label it; Unsure if the model refuses the image."""
    from xray.risk import RiskModel

    model = RiskModel.load()
    reading = model.read(_picture(work, pinned).eight_bit())
    label = Label.UNSURE if reading.refused else work.settings.label(reading.risk)
    return Scored(
        risk=reading.risk,
        label=label.value,
        model=model.version,
        refused=reading.refused,
        evidence=reading.evidence,
    )


def wants_review(work: Work, scored: Scored) -> bool:
    """Whether a person is to look at the case before it goes on."""
    return work.settings.review_unsure and scored.label == Label.UNSURE


def preview(work: Work, pinned: Pinned, scored: Scored) -> None:
    """Stage the annotated image in a form and size that every browser shows."""
    from xray.image import Format, Picture, encode
    from xray.image.caption import print_caption

    image = _picture(work, pinned).eight_bit()
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    shown = Picture(print_caption(image, _caption(scored)), Format.JPEG)
    work.store.write(
        work.buckets.staging,
        preview_name(work.case_id),
        encode(shown),
        content_type=Format.JPEG.content_type,
    )


def preview_name(case_id: str) -> str:
    """Where a case's preview is in the staging bucket."""
    return f"{case_id}/{PREVIEW}"


def record_review(work: Work, scored: Scored, *, choice: str, by: str | None, at: str) -> Scored:
    """Take a person's choice, one of :data:`CHOICES`, and record it.

    Args:
        work: the case.
        scored: what was shown.
        choice: what was chosen, or what stands for it when nobody answered in time.
        by: who chose; None for nobody.
        at: when, in ISO 8601.
    """
    label = Label.UNSURE if choice == KEEP else Label(choice)
    review = {"label_before": scored.label, "choice": choice, "by": by, "at": at}
    result = replace(scored, label=label.value, review=review)
    record(work, audit.REVIEWED, scored=result.to_json())
    return result


def wants_anonymized(work: Work, scored: Scored) -> bool:
    """Whether the policy asks for an anonymised copy."""
    return work.settings.wants_anonymized(Label(scored.label))


def annotate(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Print the risk on the image and stage it."""
    from xray.image.caption import print_caption

    picture = _picture(work, pinned)
    drawn = print_caption(picture.pixels, _caption(scored), picture.depth)
    return _stage(work, "annotated", picture, drawn)


def anonymize(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Redact the image, then print the risk on it, and stage it.

    One that is to be quarantined gets no risk: it may yet be redacted by hand.
    """
    from xray.image import anonymous
    from xray.image.caption import print_caption
    from xray.redaction import redact

    # Redacted from the original: the label must not be taken for text to remove.
    picture, settings = anonymous(_picture(work, pinned)), work.settings
    done = redact(
        picture.pixels,
        picture.depth,
        keep_markers=settings.keep_markers,
        outline=settings.outline_redactions,
    )
    drawn = done.image
    if not done.quarantined:
        drawn = print_caption(drawn, _caption(scored), picture.depth)
    return replace(_stage(work, "anonymized", picture, drawn), redaction=done.summary())


def show_evidence(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Draw where the risk comes from over the image, and stage it; identified, as the image is."""
    from xray.image import Format, Picture
    from xray.image.caption import print_caption
    from xray.image.caption import show_evidence as colour

    picture = _picture(work, pinned)
    drawn = colour(picture.pixels, scored.evidence or [[0.0]], picture.depth)
    form = Format.PNG if picture.format is Format.DICOM else picture.format
    return _stage(work, "evidence", Picture(drawn, form), print_caption(drawn, _caption(scored)))


def store(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> Outcome:
    """Publish the staged images, record the attempt, and clear the stage.

    Runs as often as one likes: it writes the same bytes under the same keys. The annotated image
    comes last: whoever sees it finds all else there.
    """
    decision, outputs = "superseded", []
    if not _superseded(work, pinned):
        annotated = _ready(work, annotated, lambda: annotate(work, pinned, scored))
        if anonymized:
            anonymized = _ready(work, anonymized, lambda: anonymize(work, pinned, scored))
        outputs = _publish_all(work, pinned, scored, annotated, anonymized)
        decision = _decision(anonymized)
    facts = {"redaction": anonymized.redaction} if anonymized and anonymized.redaction else {}
    written = record(
        work,
        audit.SUCCEEDED,
        pinned=_without_settings(pinned),
        scored=scored.to_json(),
        decision=decision,
        outputs=outputs,
        **facts,
    )
    clear_stage(work)
    return Outcome(
        case_id=pinned.case_id,
        label=scored.label,
        risk=scored.risk,
        decision=decision,
        attempt=written["attempt"],
    )


def _decision(anonymized: Staged | None) -> str:
    if anonymized is None:
        return "published"
    return QUARANTINED if anonymized.quarantined else PUBLISHED


def quarantine_preview(store: ObjectStore, buckets: Buckets, case_id: str) -> bytes:
    """A quarantined case's image for a form: a JPEG with a ruler of its pixels.

    Raises:
        ObjectError: it is in quarantine no more.
    """
    from xray.image import Format, Picture, encode
    from xray.image.caption import ruled

    _, picture = _quarantined(store, buckets, case_id)
    shown = ruled(picture.eight_bit(), PREVIEW_SIDE)
    return encode(Picture(shown, Format.JPEG))


def release(
    work: Work,
    pinned: Pinned,
    scored: Scored,
    *,
    choice: str,
    boxes: Sequence[Box],
    by: str | None,
    at: str,
) -> str:
    """Do with a quarantined image what a person decided, and record it; returns the decision.

    Args:
        work: the case.
        pinned, scored: what *fetch* and *classify* found.
        choice: one of :data:`RELEASE_CHOICES`.
        boxes: what else is to be removed: left, top, right, bottom in pixels.
        by: who decided.
        at: when, in ISO 8601.

    Raises:
        ObjectError: the image is in quarantine no more.
    """
    outputs: list[dict[str, Any]] = []
    decision = QUARANTINED
    if choice != WITHHOLD:
        if _superseded(work, pinned):
            decision = "superseded"
        else:
            decision, outputs = PUBLISHED, [_release(work, pinned, scored, boxes)]
    record(
        work,
        audit.RELEASED,
        scored=scored.to_json(),
        decision=decision,
        outputs=outputs,
        release={"choice": choice, "boxes": [list(box) for box in boxes], "by": by, "at": at},
    )
    if decision != QUARANTINED:
        _clear_quarantine(work)
    return decision


def _release(work: Work, pinned: Pinned, scored: Scored, boxes: Sequence[Box]) -> dict[str, Any]:
    """Publish a quarantined image, without what stands in the ``boxes``."""
    from xray.image.caption import print_caption
    from xray.redaction import masked

    suffix, picture = _quarantined(work.store, work.buckets, work.case_id)
    drawn = print_caption(masked(picture.pixels, boxes), _caption(scored), picture.depth)
    staged = _stage(work, "released", picture, drawn)
    key, *_ = work.anonymized_keys(pinned.etag, suffix)
    output = _publish(work, work.buckets.anonymized, key, staged, _told(scored))
    work.store.delete(work.buckets.staging, staged.name)
    return output


def _quarantined(store: ObjectStore, buckets: Buckets, case_id: str) -> tuple[str, Picture]:
    """A quarantined image, and its name's suffix."""
    from xray.image import Limits, decode

    bucket = buckets.quarantine
    for entry in store.list(bucket, f"{case_id}/"):
        content = store.read(bucket, entry.key)
        # It was within the case's limits before it got there.
        return PurePosixPath(entry.key).suffix, decode(content.data, limits=Limits(2**40, 2**40))
    raise ObjectError(
        f"The image is in {bucket} no more: the case was run again, or it was decided on before."
    )


def _clear_quarantine(work: Work) -> None:
    _remove(work, work.buckets.quarantine, f"{work.case_id}/")


def _remove(work: Work, bucket: str, prefix: str) -> None:
    """Remove what a bucket holds under ``prefix``."""
    for entry in work.store.list(bucket, prefix):
        work.store.delete(bucket, entry.key)


def abandon(work: Work, error: BaseException | None, pinned: Pinned | None) -> str:
    """End a case that failed for good: record why, and leave nothing half done.

    Args:
        work: the case.
        error: what ended it; None if its worker died, or told of the end before.
        pinned: what *fetch* found, if it came so far.

    Returns:
        The reason that is on record, in one sentence that names no patient.
    """
    reason, kind = describe(error)
    facts: dict[str, Any] = {"pinned": _without_settings(pinned)} if pinned else {}
    if isinstance(error, SettingsError):
        facts["settings"] = None
    # Of the very try, which a retry after it would not have: the first reason given for it stays.
    facts["token"] = f"{work.run['task']}, try {work.run['try']}"
    with ExitStack() as whatever_fails:
        if pinned and work.run["task"] == STORE:
            whatever_fails.callback(_withdraw, work, pinned)
        whatever_fails.callback(clear_stage, work)
        written = record(work, audit.FAILED, error=reason, kind=kind, **facts)
    return str(written["error"])


def describe(error: BaseException | None) -> tuple[str, str]:
    """A failure's reason, in one sentence that names no patient, and its kind."""
    if isinstance(error, XrayError):
        return str(error), "permanent" if isinstance(error, PermanentError) else "passing"
    if error is None:
        return "The worker died, or its machine did: clear the task to run it again.", "unexpected"
    # Its own words may quote the object key; its type cannot.
    return f"Unexpected {type(error).__name__}: the task's log tells where.", "unexpected"


def record(work: Work, outcome: str, **facts: Any) -> dict[str, Any]:
    """Add a record to the case's audit trail; returns it whole."""
    return audit.append(
        work.store,
        work.buckets.audit,
        work.case_id,
        {
            "outcome": outcome,
            "token": work.token,
            "run": dict(work.run),
            "source": work.source.to_json(),
            "settings": work.settings.to_mapping(),
            **facts,
        },
    )


def clear_stage(work: Work) -> None:
    """Remove what the case has staged."""
    _remove(work, work.buckets.staging, f"{work.case_id}/")


def _absent(source: Source, error: NotFoundError) -> XrayError:
    """What it means that the object is not there: it may be on its way, or it is gone."""
    if not error.deleted and source.event_time:
        try:
            announced = datetime.fromisoformat(source.event_time)
        except ValueError:
            announced = datetime.min
        if announced.tzinfo is None:
            announced = announced.replace(tzinfo=UTC)
        if datetime.now(UTC) - announced < ON_ITS_WAY:
            return NotFoundError(
                f"The object is not in {source.bucket} yet, though it was announced just now: it "
                "is looked for again."
            )
    return ObjectError(
        f"The object is not in {source.bucket}: it was deleted, or never got there. Upload it "
        "again."
    )


def _without_settings(pinned: Pinned) -> dict[str, Any]:
    """For the audit record, in which the settings stand by themselves."""
    return {name: value for name, value in pinned.to_json().items() if name != "settings"}


def _superseded(work: Work, pinned: Pinned) -> bool:
    """Whether a newer upload under the same key has published its result before this one."""
    there = work.store.head(work.buckets.processed, work.source.processed_key())
    newest = there.metadata.get("source-modified", "") if there else ""
    return bool(newest) and datetime.fromisoformat(newest) > datetime.fromisoformat(pinned.modified)


def _ready(work: Work, staged: Staged, make: Callable[[], Staged]) -> Staged:
    """A staged image; made again if *store* alone is run again, after it has cleared the stage."""
    names = (entry.key for entry in work.store.list(work.buckets.staging, staged.name))
    return staged if staged.name in names else make()


def _publish_all(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> list[dict[str, Any]]:
    buckets, told = work.buckets, _told(scored)
    outputs = []
    if anonymized and anonymized.quarantined:
        key = f"{work.case_id}/image{anonymized.suffix}"
        outputs.append(_publish(work, buckets.quarantine, key, anonymized, told))
        _retract(work, pinned, anonymized.suffix)
    elif anonymized:
        key, *_ = work.anonymized_keys(pinned.etag, anonymized.suffix)
        outputs.append(_publish(work, buckets.anonymized, key, anonymized, told))
        for old in _anonymized_names(work, pinned, anonymized.suffix) - {key}:
            work.store.delete(buckets.anonymized, old)
        _clear_quarantine(work)
    identified = {
        **told,
        "case-id": pinned.case_id,
        "policy": work.settings.anonymize.value,
        "source-version": pinned.version_id or pinned.etag,
        "source-etag": pinned.etag,
        "source-modified": pinned.modified,
    }
    if work.settings.evidence and scored.evidence and not scored.refused:
        shown = show_evidence(work, pinned, scored)
        key = work.source.evidence_key(shown.suffix if pinned.format == "DICOM" else "")
        outputs.append(_publish(work, buckets.processed, key, shown, identified))
    key = work.source.processed_key()
    outputs.append(_publish(work, buckets.processed, key, annotated, identified))
    return outputs


def _withdraw(work: Work, pinned: Pinned) -> None:
    """Remove an anonymised or quarantined image that the annotated one never followed."""
    there = work.store.head(work.buckets.processed, work.source.processed_key())
    if (there and there.metadata.get("source-etag") == pinned.etag) or _superseded(work, pinned):
        return  # Published whole, by an earlier attempt or another case of the same content.
    _retract(work, pinned, "")
    _clear_quarantine(work)


def _retract(work: Work, pinned: Pinned, suffix: str) -> None:
    """Remove the content's anonymised image, if there is one, whatever it was keyed with."""
    for name in _anonymized_names(work, pinned, suffix):
        _remove(work, work.buckets.anonymized, name)


def _anonymized_names(work: Work, pinned: Pinned, suffix: str) -> set[str]:
    """Where the anonymised image goes, and where it may be: by the secrets before this one, and by
    the audit trail, as under another ``patient_pattern``."""
    trail = audit.records(work.store, work.buckets.audit, work.case_id)
    return set(work.anonymized_keys(pinned.etag, suffix)) | {
        output["key"]
        for earlier in trail
        for output in earlier.get("outputs") or ()
        if output["bucket"] == work.buckets.anonymized
    }


def _picture(work: Work, pinned: Pinned) -> Picture:
    """The pinned object, read again and decoded."""
    from xray.image import decode

    try:
        content = work.store.read(
            work.source.bucket,
            work.source.key,
            version_id=pinned.version_id,
            etag=pinned.etag,
            max_bytes=work.settings.max_bytes,
        )
    except NotFoundError:
        raise ObjectError(
            f"The object was deleted from {work.source.bucket} after it was fetched: upload it "
            "again."
        ) from None
    if content.sha256 != pinned.sha256:
        raise ObjectError(
            f"The object in {work.source.bucket} changed since it was fetched: clear the case's "
            "run from fetch on."
        )
    return decode(content.data, limits=work.limits)


def _caption(scored: Scored) -> str:
    from xray.image.caption import caption

    by_a_person = bool(scored.review and scored.review["by"])
    return caption(Label(scored.label), scored.risk, reviewed=by_a_person, refused=scored.refused)


def _stage(work: Work, name: str, picture: Picture, pixels: Any) -> Staged:
    from xray.image import encode

    return work.store.stage(
        work.buckets.staging,
        f"{work.case_id}/{name}{picture.format.suffix}",
        encode(replace(picture, pixels=pixels)),
        content_type=picture.format.content_type,
        suffix=picture.format.suffix,
    )


def _told(scored: Scored) -> dict[str, str]:
    """Object metadata that tells nothing about the person; of a refused image, no risk either."""
    found = {"refused": scored.refused} if scored.refused else {"risk": f"{scored.risk:.6f}"}
    return {"model": scored.model, "label": scored.label, **found}


def _publish(
    work: Work, bucket: str, key: str, staged: Staged, metadata: dict[str, str]
) -> dict[str, Any]:
    """Copy a staged image to an output bucket; returns what the audit record says of it."""
    data = work.store.unstage(work.buckets.staging, staged)
    work.store.write(bucket, key, data, content_type=staged.content_type, metadata=metadata)
    return {"bucket": bucket, "key": key, "sha256": staged.sha256, "size": staged.size}
