"""Publishing: the step *store*, the only one that writes to the output buckets.

A person's release of a quarantined image publishes as well: see :mod:`xray.case.quarantine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from xray import audit
from xray.case.steps import annotate, anonymize, anonymous_caption_of, draw_evidence
from xray.case.values import (
    SOURCE_ETAG,
    SOURCE_MODIFIED,
    Decision,
    Outcome,
    Pinned,
    Scored,
    Staged,
)
from xray.case.work import Work, clear_quarantine, clear_stage, record, remove_all, unstage
from xray.settings import Settings
from xray.suffixes import CERTIFICATE_KEY


def store(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> Outcome:
    """Publish the staged images, record the attempt, and clear the stage.

    The step may run any number of times: it writes the same bytes under the same keys. The
    annotated image is written last, so that everything else is there once it can be seen.
    """
    decision, outputs = Decision.SUPERSEDED, []
    if not superseded(work, pinned):
        annotated = _ready(work, annotated, lambda: annotate(work, pinned, scored))
        if anonymized:
            anonymized = _ready(work, anonymized, lambda: anonymize(work, pinned, scored))
        outputs = _publish_all(work, pinned, scored, annotated, anonymized)
        decision = _decision(anonymized)
    facts = {"redaction": anonymized.redaction} if anonymized and anonymized.redaction else {}
    written = record(
        work,
        audit.SUCCEEDED,
        pinned=pinned.to_record(),
        scored=scored.to_json(),
        decision=decision,
        outputs=outputs,
        **facts,
    )
    clear_stage(work)
    return Outcome(
        case_id=pinned.case_id,
        label=scored.label,
        risk=work.settings.rounded(scored.risk),
        decision=decision,
        attempt=written["attempt"],
    )


def superseded(work: Work, pinned: Pinned) -> bool:
    """Return whether a newer upload under the same key has its result published already."""
    published = work.store.head(work.buckets.processed, work.source.processed_key())
    newest = published.metadata.get(SOURCE_MODIFIED, "") if published else ""
    return bool(newest) and datetime.fromisoformat(newest) > datetime.fromisoformat(pinned.modified)


def publish(
    work: Work, bucket: str, key: str, staged: Staged, metadata: dict[str, str]
) -> dict[str, Any]:
    """Copy a staged image to an output bucket, and return the audit record's entry for it."""
    return _put(work, bucket, key, unstage(work, staged), staged.content_type, metadata)


def publish_anonymized(
    work: Work,
    key: str,
    staged: Staged,
    scored: Scored,
    redaction: Mapping[str, Any],
    *,
    masked: int | None = None,
) -> list[dict[str, Any]]:
    """Publish an anonymised image with its certificate, and return the audit record's entries.

    The certificate is written first, so that no image is without one.

    Args:
        work: the case.
        key: of the image.
        staged: the image.
        scored: the result of *classify*, or of the review after it.
        redaction: the result of the redaction, as the audit record has it.
        masked: the number of boxes masked by the person who released the image; None if no person
            had to release it.

    Raises:
        ImageError: the image is not 8-bit grey.
    """
    from xray.redaction import certify

    bucket, settings = work.buckets.anonymized, work.settings
    image = unstage(work, staged)
    document = certify(
        image,
        redaction,
        work.keyring.secrets,
        keep_markers=settings.keep_markers,
        outline=settings.outline_redactions,
        caption=anonymous_caption_of(scored, settings),
        masked=masked,
    )
    beside = _put(work, bucket, key + CERTIFICATE_KEY, document, "application/json", {})
    metadata = anonymous_metadata(scored, settings)
    return [_put(work, bucket, key, image, staged.content_type, metadata), beside]


def anonymous_metadata(scored: Scored, settings: Settings) -> dict[str, str]:
    """Return the object metadata that reveals nothing about the person, and is not unique to a
    case.

    It holds no risk if the model refused the image.
    """
    risk = f"{settings.rounded(scored.risk):.2f}"
    score = {"refused": scored.refused} if scored.refused else {"risk": risk}
    return {"model": scored.model, "label": scored.label, **score}


def withdraw(work: Work, pinned: Pinned) -> None:
    """Remove an anonymised or quarantined image whose annotated image was never published."""
    published = work.store.head(work.buckets.processed, work.source.processed_key())
    complete = published and published.metadata.get(SOURCE_ETAG) == pinned.etag
    if complete or superseded(work, pinned):
        return  # An earlier attempt, or another case of the same content, has published it all.
    _retract(work, pinned, "")
    clear_quarantine(work)


def _put(
    work: Work, bucket: str, key: str, data: bytes, content_type: str, metadata: dict[str, str]
) -> dict[str, Any]:
    """Write an object, and return the audit record's entry for it."""
    work.store.put(bucket, key, data, content_type=content_type, metadata=metadata)
    digest = hashlib.sha256(data).hexdigest()
    return {"bucket": bucket, "key": key, "sha256": digest, "size": len(data)}


def _decision(anonymized: Staged | None) -> Decision:
    if anonymized is None:
        return Decision.PUBLISHED
    return Decision.QUARANTINED if anonymized.quarantined else Decision.ANONYMIZED


def _ready(work: Work, staged: Staged, make: Callable[[], Staged]) -> Staged:
    """Return a staged image, made again if it cannot be published.

    It is gone if *store* is run again after it has cleared the stage. An anonymised image of
    version 0.1.0 has depth and colour that no inspection saw.
    """
    if staged.redaction and "check" not in staged.redaction:
        return make()
    names = (entry.key for entry in work.store.list(work.buckets.staging, staged.name))
    return staged if staged.name in names else make()


def _publish_all(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> list[dict[str, Any]]:
    """Publish all images of a case, and return the audit record's entries in order."""
    outputs = []
    if anonymized:
        outputs += _publish_or_quarantine(work, pinned, scored, anonymized)
    buckets = work.buckets
    exact = {} if scored.refused else {"risk": f"{scored.risk:.6f}"}
    identified = {
        **anonymous_metadata(scored, work.settings),
        **exact,
        "case-id": pinned.case_id,
        "policy": work.settings.anonymize.value,
        "source-version": pinned.version_id or pinned.etag,
        SOURCE_ETAG: pinned.etag,
        SOURCE_MODIFIED: pinned.modified,
    }
    if work.settings.evidence and scored.evidence and not scored.refused:
        evidence = draw_evidence(work, pinned, scored)
        key = work.source.evidence_key(evidence.suffix if pinned.format == "DICOM" else "")
        outputs.append(publish(work, buckets.processed, key, evidence, identified))
    key = work.source.processed_key()
    outputs.append(publish(work, buckets.processed, key, annotated, identified))
    return outputs


def _publish_or_quarantine(
    work: Work, pinned: Pinned, scored: Scored, anonymized: Staged
) -> list[dict[str, Any]]:
    """Publish or quarantine the anonymised image, and remove what an earlier attempt published."""
    if anonymized.quarantined:
        key = f"{work.case_id}/image{anonymized.suffix}"
        metadata = anonymous_metadata(scored, work.settings)
        output = publish(work, work.buckets.quarantine, key, anonymized, metadata)
        _retract(work, pinned, anonymized.suffix)
        return [output]
    key, *_ = work.anonymized_keys(pinned.etag, anonymized.suffix)
    outputs = publish_anonymized(work, key, anonymized, scored, anonymized.redaction or {})
    for old in _anonymized_names(work, pinned, anonymized.suffix) - {key}:
        remove_all(work, work.buckets.anonymized, old)
    clear_quarantine(work)
    return outputs


def _retract(work: Work, pinned: Pinned, suffix: str) -> None:
    """Remove the content's anonymised image and its certificate, under every key they may have."""
    for name in _anonymized_names(work, pinned, suffix):
        remove_all(work, work.buckets.anonymized, name)


def _anonymized_names(work: Work, pinned: Pinned, suffix: str) -> set[str]:
    """Return the keys that the anonymised image may have. Its certificate's key starts with one.

    An earlier attempt may have used an older secret, or another ``patient_pattern``, whose keys
    only the audit trail holds.
    """
    trail = audit.records(work.store, work.buckets.audit, work.case_id)
    return set(work.anonymized_keys(pinned.etag, suffix)) | {
        output["key"].removesuffix(CERTIFICATE_KEY)
        for earlier in trail
        for output in earlier.get("outputs") or ()
        if output["bucket"] == work.buckets.anonymized
    }
