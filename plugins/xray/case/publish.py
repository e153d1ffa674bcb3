"""Publishing: the step *store*, the only one that writes to the output buckets.

A person's release of a quarantined image publishes as well: see :mod:`xray.case.quarantine`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from xray import audit
from xray.case.steps import annotate, anonymize, draw_evidence
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
        risk=scored.risk,
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
    data = unstage(work, staged)
    work.store.put(bucket, key, data, content_type=staged.content_type, metadata=metadata)
    return {"bucket": bucket, "key": key, "sha256": staged.sha256, "size": staged.size}


def anonymous_metadata(scored: Scored) -> dict[str, str]:
    """Return the object metadata that reveals nothing about the person.

    It holds no risk if the model refused the image.
    """
    score = {"refused": scored.refused} if scored.refused else {"risk": f"{scored.risk:.6f}"}
    return {"model": scored.model, "label": scored.label, **score}


def withdraw(work: Work, pinned: Pinned) -> None:
    """Remove an anonymised or quarantined image whose annotated image was never published."""
    published = work.store.head(work.buckets.processed, work.source.processed_key())
    complete = published and published.metadata.get(SOURCE_ETAG) == pinned.etag
    if complete or superseded(work, pinned):
        return  # An earlier attempt, or another case of the same content, has published it all.
    _retract(work, pinned, "")
    clear_quarantine(work)


def _decision(anonymized: Staged | None) -> Decision:
    if anonymized is None:
        return Decision.PUBLISHED
    return Decision.QUARANTINED if anonymized.quarantined else Decision.ANONYMIZED


def _ready(work: Work, staged: Staged, make: Callable[[], Staged]) -> Staged:
    """Return a staged image, made again if *store* is run again after it has cleared the stage."""
    names = (entry.key for entry in work.store.list(work.buckets.staging, staged.name))
    return staged if staged.name in names else make()


def _publish_all(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> list[dict[str, Any]]:
    """Publish all images of a case, and return the audit record's entries in order."""
    outputs = []
    if anonymized:
        outputs.append(_publish_anonymized(work, pinned, scored, anonymized))
    buckets = work.buckets
    identified = {
        **anonymous_metadata(scored),
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


def _publish_anonymized(
    work: Work, pinned: Pinned, scored: Scored, anonymized: Staged
) -> dict[str, Any]:
    """Publish or quarantine the anonymised image, and remove what an earlier attempt published."""
    buckets, metadata = work.buckets, anonymous_metadata(scored)
    if anonymized.quarantined:
        key = f"{work.case_id}/image{anonymized.suffix}"
        output = publish(work, buckets.quarantine, key, anonymized, metadata)
        _retract(work, pinned, anonymized.suffix)
        return output
    key, *_ = work.anonymized_keys(pinned.etag, anonymized.suffix)
    output = publish(work, buckets.anonymized, key, anonymized, metadata)
    for old in _anonymized_names(work, pinned, anonymized.suffix) - {key}:
        work.store.delete(buckets.anonymized, old)
    clear_quarantine(work)
    return output


def _retract(work: Work, pinned: Pinned, suffix: str) -> None:
    """Remove the content's anonymised image, if there is one, under every key it may have."""
    for name in _anonymized_names(work, pinned, suffix):
        remove_all(work, work.buckets.anonymized, name)


def _anonymized_names(work: Work, pinned: Pinned, suffix: str) -> set[str]:
    """Return the keys that the anonymised image may have.

    An earlier attempt may have used an older secret, or another ``patient_pattern``, whose keys
    only the audit trail holds.
    """
    trail = audit.records(work.store, work.buckets.audit, work.case_id)
    return set(work.anonymized_keys(pinned.etag, suffix)) | {
        output["key"]
        for earlier in trail
        for output in earlier.get("outputs") or ()
        if output["bucket"] == work.buckets.anonymized
    }
