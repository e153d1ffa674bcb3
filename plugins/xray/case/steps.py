"""The steps of a case before it is published: fetch, classify, annotate, anonymize.

Plain functions over a store; :mod:`xray.airflow.case.tasks` makes tasks of them.
Every step works on the object that *fetch* pinned.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xray.case.claim import claim, own_claim
from xray.case.pictures import thumbnail
from xray.case.source import Source
from xray.case.values import Pinned, Scored, Staged
from xray.case.work import Work, read_pinned_image, stage, stage_thumbnail
from xray.errors import ModelError, NotFoundError, ObjectError, XrayError
from xray.settings import Label, Settings
from xray.times import time_of

if TYPE_CHECKING:
    from xray.image import Picture
    from xray.risk import Prediction, RiskModel

ANNOUNCED_EARLY = timedelta(minutes=5)
"""How long after its notification an object may be missing: some stores announce it early."""


def fetch(work: Work) -> Pinned:
    """Find the object, check that it is an image within the limits, pin it, and claim it.

    Raises:
        NotFoundError: the object is not there yet, though it was announced just now.
        TransientError: the store cannot answer now.
        ObjectError: the object is gone, was replaced since its notification, or may not be read.
        ImageError: the object is not an image that can be processed.
    """
    from xray.image import decode

    source = work.source
    try:
        content = work.store.get(
            source.bucket,
            source.key,
            version_id=source.version_id,
            etag=source.etag,
            max_bytes=work.settings.max_bytes,
        )
    except NotFoundError as error:
        raise _absent(source, error) from None
    picture = decode(content.data, limits=work.limits)
    work = replace(work, source=source.found(content.version_id, content.etag))
    hashes = source.index_hashes(work.keyring, work.settings.patient_pattern)
    pinned = Pinned(
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
        object=hashes["object"],
        patient=hashes.get("patient"),
    )
    claimed = claim(replace(work, carried_id=pinned.case_id), pinned)
    own = own_claim(work, claimed)
    return replace(pinned, claim=own.number if own else 0)


def _absent(source: Source, error: NotFoundError) -> XrayError:
    """Return the error for an object that is not there: it may still arrive, or it is gone."""
    announced = time_of(source.event_time)
    if not error.deleted and announced and datetime.now(UTC) - announced < ANNOUNCED_EARLY:
        return NotFoundError(
            f"The object is not in {source.bucket} yet, though it was announced just now: the "
            "task will look for it again."
        )
    return ObjectError(
        f"The object is not in {source.bucket}: it was deleted, or never got there. Upload it "
        "again."
    )


def classify(work: Work, pinned: Pinned) -> Scored:
    """Score the risk of pneumonia and label it.

    The label is Unsure if the model refuses the image, or if its file says that it is no frontal
    view of a chest.
    """
    from xray.risk import shared_model

    model, picture = shared_model(), read_pinned_image(work, pinned)
    prediction = _predict(model, picture)
    return Scored(
        risk=prediction.risk,
        label=_label(work.settings, prediction),
        model=model.version,
        refused=prediction.refused,
        evidence=prediction.evidence,
        shadow=_score_in_shadow(work.settings, picture) if work.settings.shadow_model else None,
    )


def _predict(model: RiskModel, picture: Picture) -> Prediction:
    prediction = model.predict(picture.eight_bit())
    return replace(prediction, refused=picture.unfit or prediction.refused)


def _score_in_shadow(settings: Settings, picture: Picture) -> dict[str, Any]:
    """Return the result of the shadow model, or its problem: such a model never fails a case."""
    from xray.risk import shared_model

    try:
        model = shared_model(Path(settings.shadow_model))
        prediction = _predict(model, picture)
    except ModelError as error:
        return {"problem": str(error)}
    except Exception as error:  # The message of an unexpected error may hold anything.
        return {"problem": f"The shadow model cannot score the image ({type(error).__name__})."}
    return {
        "model": model.version,
        "risk": prediction.risk,
        "label": _label(settings, prediction),
        "refused": prediction.refused,
    }


def _label(settings: Settings, prediction: Prediction) -> str:
    return (Label.UNSURE if prediction.refused else settings.label(prediction.risk)).value


def annotate(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Print the risk on the image and stage it, with a thumbnail of the image."""
    from xray.image import print_caption

    picture = read_pinned_image(work, pinned)
    small = stage_thumbnail(work, thumbnail(picture))
    drawn = print_caption(picture.pixels, caption_of(scored), picture.depth)
    return replace(stage(work, "annotated", picture, drawn), thumbnail=small)


def anonymize(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Redact the image, then print the rounded risk on it, and stage it.

    No risk is printed on an image that is to be quarantined: a person may still redact it.
    """
    from xray.image import anonymous, deidentified, print_caption
    from xray.redaction import redact

    # The original image is redacted, as the caption of the annotated image is text as well.
    original, settings = read_pinned_image(work, pinned), work.settings
    picture = anonymous(original)
    redaction = redact(
        picture.pixels,
        keep_markers=settings.keep_markers,
        outline=settings.outline_redactions,
    )
    drawn = redaction.image
    if not redaction.quarantined:
        drawn = print_caption(drawn, anonymous_caption_of(scored, settings))
    if work.anonymized_format(pinned) is not picture.format:
        secret, *_ = work.keyring.pseudonym_secrets
        picture = deidentified(picture, original, secret, settings.retained())
    return replace(stage(work, "anonymized", picture, drawn), redaction=redaction.summary())


def draw_evidence(work: Work, pinned: Pinned, scored: Scored) -> Staged:
    """Draw where the risk comes from over the image, and stage it. Identified, as the image is."""
    from xray.image import Format, Picture, print_caption
    from xray.image import draw_evidence as draw_over

    picture = read_pinned_image(work, pinned)
    drawn = draw_over(picture.pixels, scored.evidence or [[0.0]], picture.depth)
    form = Format.PNG if picture.format is Format.DICOM else picture.format
    return stage(work, "evidence", Picture(drawn, form), print_caption(drawn, caption_of(scored)))


def structured_report(work: Work, pinned: Pinned, scored: Scored) -> bytes | None:
    """Return the structured report of a DICOM image; None if the image has no UIDs to refer to.

    Its time is that at which the store received the image, so that a rerun gives the same bytes.
    """
    from xray.image.dicom import report

    return report.write_report(
        read_pinned_image(work, pinned).header,
        Label(scored.label),
        scored.risk,
        model=scored.model,
        caption=caption_of(scored),
        at=datetime.fromisoformat(pinned.modified),
        refused=bool(scored.refused),
    )


def caption_of(scored: Scored) -> str:
    """Return the text that is printed on the annotated image."""
    return _caption(scored, scored.risk, decimals=2)


def anonymous_caption_of(scored: Scored, settings: Settings) -> str:
    """Return the text that is printed on the anonymised image, with the rounded risk."""
    return _caption(scored, settings.rounded(scored.risk), decimals=0)


def _caption(scored: Scored, risk: float, *, decimals: int) -> str:
    from xray.image import caption_text

    by_a_person = bool(scored.review and scored.review["by"])
    return caption_text(
        Label(scored.label),
        risk,
        reviewed=by_a_person,
        refused=scored.refused,
        decimals=decimals,
    )
