"""Publishing: the step *store*, which writes to the output buckets.

A person's release of a quarantined image publishes as well: see :mod:`xray.case.quarantine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from xray import audit, pacs
from xray.case.claim import claim, forgotten, last_claim, own_claim, quarantined_key
from xray.case.converge import converge
from xray.case.manifest import Output, Request
from xray.case.pictures import THUMBNAIL_TYPE, picture_name, render, thumbnail_key
from xray.case.requests import put_marker, release_request, remove_markers
from xray.case.steps import (
    annotate,
    anonymize,
    anonymous_caption_of,
    draw_evidence,
    structured_report,
)
from xray.case.values import (
    SOURCE_ETAG,
    SOURCE_MODIFIED,
    Decision,
    Outcome,
    Pinned,
    Scored,
    Staged,
)
from xray.case.work import Work, clear_stage, record, recorded, unstage, unstage_thumbnail
from xray.case.writer import Writer, writing
from xray.errors import StaleError
from xray.settings import Outputs, Settings
from xray.suffixes import CERTIFICATE_KEY


def store(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> Outcome:
    """Publish the staged images if the case owns the object, record the attempt, and converge.

    The step may run any number of times: it writes the same bytes under the same keys. The
    annotated image is written last, so that everything else is there once it can be seen.
    """
    written = recorded(work, audit.SUCCEEDED)
    if written is None or last_claim(work, work.manifest.read()[0]):
        written = _end(work, pinned, scored, annotated, anonymized)
    clear_stage(work)
    return Outcome(
        case_id=pinned.case_id,
        label=scored.label,
        risk=work.settings.rounded(scored.risk),
        decision=Decision(written["decision"]),
        attempt=written["attempt"],
        claim=written.get("claim", 0),
    )


def _end(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> dict[str, Any]:
    """Publish if the case owns the object, record the attempt, and converge the object."""
    manifest = claim(work, pinned)
    own, outputs = own_claim(work, manifest), list[Output]()
    facts = dict[str, Any]()
    decision = Decision.DELETED if forgotten(work, manifest) else Decision.SUPERSEDED
    if own:
        annotated = _ready(work, annotated, lambda: annotate(work, pinned, scored))
        if anonymized:
            anonymized = _ready(work, anonymized, lambda: anonymize(work, pinned, scored))
        with suppress(StaleError), writing(work, manifest, own) as writer:
            _publish_all(writer, work, pinned, scored, annotated, anonymized)
            waiting = _request(work, writer) if anonymized and anonymized.quarantined else None
            if waiting:  # The marker comes first, so that all that waits has one.
                put_marker(work, pinned, scored, waiting)
            writer.commit(pinned.sha256, waiting)
            outputs, decision = writer.outputs, _decision(anonymized)
        facts = writer.sent_facts()  # Also if a later case has taken over since.
    if anonymized and anonymized.redaction:
        facts["redaction"] = anonymized.redaction
    written = record(
        work,
        audit.SUCCEEDED,
        nameless=decision is Decision.DELETED,
        claim=own.number if own else work.claim,
        pinned=pinned.to_record(),
        scored=scored.to_json(),
        decision=decision,
        outputs=[output.to_record() for output in outputs],
        **facts,
    )
    converge(work, own or last_claim(work, manifest))
    if written["decision"] == Decision.DELETED:
        remove_markers(work)
    return written


def _request(work: Work, writer: Writer) -> Request:
    """Return the request for a decision on the image that was put into quarantine."""
    image = next(one for one in writer.outputs if one.bucket == work.buckets.quarantine)
    return release_request(work.case_id, writer.own.number, image)


def publish_anonymized(
    writer: Writer,
    work: Work,
    key: str,
    image: bytes,
    content_type: str,
    scored: Scored,
    redaction: Mapping[str, Any],
    *,
    masked: int | None = None,
) -> None:
    """Publish an anonymised image with its certificate, and send it to the PACS if the settings
    say so.

    The certificate is written first, so that no image is without one.

    Args:
        writer: writes the outputs of the attempt.
        work: the case.
        key: of the image.
        image: the bytes of the image.
        content_type: its media type.
        scored: the result of *classify*, or of the review after it.
        redaction: the result of the redaction, as the audit record has it.
        masked: the number of boxes masked by the person who released the image; None if no person
            had to release it.

    Raises:
        ImageError: the image is not 8-bit grey.
        StaleError: the attempt no longer owns the object.
        ObjectError, TransientError: the store or the PACS refuses, or cannot answer now.
    """
    from xray.redaction import certify

    bucket, settings = work.buckets.anonymized, work.settings
    document = certify(
        image,
        redaction,
        work.keyring.secrets,
        keep_markers=settings.keep_markers,
        outline=settings.outline_redactions,
        caption=anonymous_caption_of(scored, settings),
        masked=masked,
    )
    certificate = writer.write(bucket, key + CERTIFICATE_KEY, document, "application/json")
    writer.write(bucket, key, image, content_type, anonymous_metadata(scored, settings))
    # On record, the certificate follows its image.
    writer.outputs.remove(certificate)
    writer.outputs.append(certificate)
    if settings.outputs is Outputs.ANONYMIZED_TO_PACS and content_type == pacs.MEDIA_TYPE:
        writer.send(image)


def anonymous_metadata(scored: Scored, settings: Settings) -> dict[str, str]:
    """Return the object metadata that reveals nothing about the person, and is not unique to a
    case.

    It holds no risk if the model refused the image.
    """
    risk = f"{settings.rounded(scored.risk):.2f}"
    score = {"refused": scored.refused} if scored.refused else {"risk": risk}
    return {"model": scored.model, "label": scored.label, **score}


def _decision(anonymized: Staged | None) -> Decision:
    if anonymized is None:
        return Decision.PUBLISHED
    return Decision.QUARANTINED if anonymized.quarantined else Decision.ANONYMIZED


def _publish_all(
    writer: Writer,
    work: Work,
    pinned: Pinned,
    scored: Scored,
    annotated: Staged,
    anonymized: Staged | None,
) -> None:
    """Write all images of a case."""
    if anonymized and anonymized.quarantined:
        _quarantine(writer, work, anonymized, scored)
    elif anonymized:
        key, *_ = work.anonymized_keys(pinned.etag, anonymized.suffix)
        image, redaction = unstage(work, anonymized), anonymized.redaction or {}
        publish_anonymized(writer, work, key, image, anonymized.content_type, scored, redaction)
    if small := unstage_thumbnail(work, annotated):
        key = thumbnail_key(work.case_id)
        writer.write(work.buckets.manifests, key, small, THUMBNAIL_TYPE)
    _publish_identified(writer, work, pinned, scored, annotated)


def _publish_identified(
    writer: Writer, work: Work, pinned: Pinned, scored: Scored, annotated: Staged
) -> None:
    """Publish what the settings ask for beside the annotated image, then that image, and send
    DICOM to the PACS if the settings say so."""
    exact = {} if scored.refused else {"risk": f"{scored.risk:.6f}"}
    metadata = {
        **anonymous_metadata(scored, work.settings),
        **exact,
        "case-id": pinned.case_id,
        "policy": work.settings.anonymize.value,
        "source-version": pinned.version_id or pinned.etag,
        SOURCE_ETAG: pinned.etag,
        SOURCE_MODIFIED: pinned.modified,
    }
    bucket, source, is_dicom = work.buckets.processed, work.source, pinned.format == "DICOM"
    first, report = len(writer.outputs), None
    if work.settings.evidence and scored.evidence and not scored.refused:
        evidence = draw_evidence(work, pinned, scored)
        key = source.evidence_key(evidence.suffix if is_dicom else "")
        writer.write(bucket, key, unstage(work, evidence), evidence.content_type, metadata)
    if work.settings.structured_report and is_dicom:
        report = structured_report(work, pinned, scored)
    if report:
        writer.write(bucket, source.report_key(), report, pacs.MEDIA_TYPE, metadata)
    image = unstage(work, annotated)
    writer.write(bucket, source.processed_key(), image, annotated.content_type, metadata)
    writer.outputs.insert(first, writer.outputs.pop())  # On record, the image comes first.
    if work.settings.outputs is Outputs.ANNOTATED_TO_PACS and is_dicom:
        for data in filter(None, (image, report)):
            writer.send(data)


def _quarantine(writer: Writer, work: Work, anonymized: Staged, scored: Scored) -> None:
    """Put an image with the pictures of it that a person is shown into quarantine."""
    from xray.image import ANY_SIZE, decode

    bucket, number = work.buckets.quarantine, writer.own.number
    image = unstage(work, anonymized)
    key = quarantined_key(work.case_id, number, anonymized.suffix)
    metadata = anonymous_metadata(scored, work.settings)
    writer.write(bucket, key, image, anonymized.content_type, metadata)
    for view, data in render(decode(image, limits=ANY_SIZE), rulers=True):
        key = picture_name(work.case_id, number, view)
        writer.write(bucket, key, data, view.content_type)


def _ready(work: Work, staged: Staged, make: Callable[[], Staged]) -> Staged:
    """Return a staged image, made again if it cannot be published.

    It is gone if *store* is run again after it has cleared the stage. An anonymised image of
    version 0.1.0 has depth and colour that no inspection saw.
    """
    if staged.redaction and "check" not in staged.redaction:
        return make()
    names = (entry.key for entry in work.store.list(work.buckets.staging, staged.name))
    return staged if staged.name in names else make()
