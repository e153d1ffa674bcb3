"""What the five steps of a case do: fetch, classify, annotate, anonymize, store.

Plain functions over a store; :mod:`xray.airflow.tasks` makes tasks of them.
Each works on the object that *fetch* pinned and looks at nothing but its
arguments. Modules about pixels are imported by the step that needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xray import audit
from xray.case import Buckets, Outcome, Pinned, Scored, Source, Staged
from xray.errors import ObjectError
from xray.settings import Label, Settings
from xray.storage import ObjectStore

if TYPE_CHECKING:
    from xray.image import Limits, Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A case, and all that its steps need to work on it."""

    store: ObjectStore
    source: Source
    settings: Settings
    secret: str
    """What pseudonyms are keyed with."""

    @property
    def buckets(self) -> Buckets:
        """Where things go."""
        return Buckets(self.source.bucket)

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.source.case_id(self.secret)

    @property
    def limits(self) -> Limits:
        """What an image may cost."""
        from xray.image import Limits

        return Limits(self.settings.max_bytes, self.settings.max_pixels)


def fetch(work: Work) -> Pinned:
    """Find the object, check that it is an image within the limits, and pin it.

    Raises:
        PassingError: it is not there (yet), or the store cannot answer.
        ObjectError: it was replaced since its notification, or may not be read.
        ImageError: it is no image that can be processed.
    """
    from xray.image import decode

    source = work.source
    content = work.store.read(
        source.bucket,
        source.key,
        version_id=source.version_id,
        etag=source.etag,
        max_bytes=work.settings.max_bytes,
    )
    picture = decode(content.data, limits=work.limits)
    return Pinned(
        case_id=work.case_id,
        version_id=content.version_id,
        etag=content.etag,
        sha256=content.sha256,
        size=len(content.data),
        format=picture.format.value,
        width=picture.pixels.width,
        height=picture.pixels.height,
    )


def classify(work: Work, pinned: Pinned) -> Scored:
    """Score the risk of pneumonia and label it."""
    from xray.risk import RiskModel

    model = RiskModel.load()
    risk = model.score(_picture(work, pinned).pixels)
    return Scored(risk=risk, label=work.settings.label(risk).value, model=model.version)


def annotate(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Print the risk on the image and stage it."""
    from xray.annotation import annotate as draw

    picture = _picture(work, pinned)
    return _stage(work, "annotated", picture, draw(picture.pixels, _caption(scored)))


def anonymize(work: Work, pinned: Pinned, scored: Scored) -> Staged | None:
    """Redact the image, then print the risk on it, and stage it; None if the policy asks not to."""
    from xray.annotation import annotate as draw
    from xray.redaction import redact

    if not work.settings.wants_anonymized(Label(scored.label)):
        return None
    picture = _picture(work, pinned)
    # Redacted from the original: the label must not be taken for text to remove.
    return _stage(work, "anonymized", picture, draw(redact(picture.pixels).image, _caption(scored)))


def store(
    work: Work, pinned: Pinned, scored: Scored, annotated: Staged, anonymized: Staged | None
) -> Outcome:
    """Publish the staged images, record the attempt, and clear the stage.

    Runs as often as one likes: it writes the same bytes under the same keys.
    """
    buckets, told = work.buckets, _told(scored)
    outputs = [
        _publish(
            work,
            buckets.processed,
            work.source.processed_key(),
            annotated,
            {
                **told,
                "case-id": pinned.case_id,
                "policy": work.settings.anonymize.value,
                "source-version": pinned.version_id or pinned.etag,
            },
        )
    ]
    if anonymized:
        key = work.source.anonymized_key(work.secret, anonymized.suffix)
        outputs.append(_publish(work, buckets.anonymized, key, anonymized, told))
    decision = "published and anonymised" if anonymized else "published"
    attempt = record(
        work,
        outcome="succeeded",
        pinned=pinned.to_json(),
        scored=scored.to_json(),
        decision=decision,
        outputs=outputs,
    )
    clear_stage(work)
    return Outcome(
        case_id=pinned.case_id,
        label=scored.label,
        risk=scored.risk,
        decision=decision,
        attempt=attempt,
    )


def record(work: Work, *, outcome: str, **facts: Any) -> int:
    """Add a record to the case's audit trail; returns the attempt's number."""
    return audit.append(
        work.store,
        work.buckets.audit,
        work.case_id,
        {
            "outcome": outcome,
            "source": work.source.to_json(),
            "settings": work.settings.to_mapping(),
            **facts,
        },
    )


def clear_stage(work: Work) -> None:
    """Remove what the case has staged."""
    bucket = work.buckets.staging
    for entry in work.store.list(bucket, f"{work.case_id}/"):
        work.store.delete(bucket, entry.key)


def _picture(work: Work, pinned: Pinned) -> Picture:
    """The pinned object, read again and decoded."""
    from xray.image import decode

    content = work.store.read(
        work.source.bucket,
        work.source.key,
        version_id=pinned.version_id,
        etag=pinned.etag,
        max_bytes=work.settings.max_bytes,
    )
    if content.sha256 != pinned.sha256:
        raise ObjectError(
            f"The object in {work.source.bucket} changed since it was fetched: clear the case's "
            "run from fetch on."
        )
    return decode(content.data, limits=work.limits)


def _caption(scored: Scored) -> str:
    from xray.annotation import caption

    return caption(Label(scored.label), scored.risk)


def _stage(work: Work, name: str, picture: Picture, pixels: Any) -> Staged:
    from xray.image import Picture, encode

    return work.store.stage(
        work.buckets.staging,
        f"{work.case_id}/{name}{picture.format.suffix}",
        encode(Picture(pixels, picture.format)),
        content_type=picture.format.content_type,
        suffix=picture.format.suffix,
    )


def _told(scored: Scored) -> dict[str, str]:
    """Object metadata that tells nothing about the person."""
    return {"model": scored.model, "label": scored.label, "risk": f"{scored.risk:.6f}"}


def _publish(
    work: Work, bucket: str, key: str, staged: Staged, metadata: dict[str, str]
) -> dict[str, Any]:
    """Copy a staged image to an output bucket; returns what the audit record says of it."""
    data = work.store.unstage(work.buckets.staging, staged)
    work.store.write(bucket, key, data, content_type=staged.content_type, metadata=metadata)
    return {"bucket": bucket, "key": key, "sha256": staged.sha256, "size": staged.size}
