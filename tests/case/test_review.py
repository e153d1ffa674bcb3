"""xray.case.review, on an S3 server"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support.cases import BUCKET, objects
from xray import audit
from xray.case import Work, publish, review, steps
from xray.image import decode
from xray.settings import Settings


def unsure(work: Work) -> Work:
    """The case under settings that label every image Unsure and ask for a review."""
    settings = Settings(normal_below=0, pneumonia_above=1, review_unsure=True)
    return dataclasses.replace(work, settings=settings)


@pytest.mark.parametrize(
    ("choice", "label"),
    [("Normal", "Normal"), ("Pneumonia", "Pneumonia"), (review.KEEP, "Unsure")],
)
def test_a_persons_choice_is_recorded_and_applied(
    s3: Any, work: Work, choice: str, label: str
) -> None:
    work = unsure(work)
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    assert work.settings.wants_review(scored.label)
    at = "2026-01-01T00:00:00+00:00"
    result = review.record_review(work, scored, choice=choice, by="dr", at=at)
    assert (result.label, result.risk) == (label, scored.risk)
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["outcome"] == "reviewed"
    assert record["scored"]["review"] == {
        "label_before": "Unsure",
        "choice": choice,
        "by": "dr",
        "at": at,
    }
    annotated = steps.annotate(work, pinned, result)
    publish.store(work, pinned, result, annotated, None)
    first, last = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert (first["attempt"], last["attempt"]) == (1, 1), "the review belongs to the attempt"
    assert last["scored"]["label"] == label
    ((_, _, metadata),) = objects(s3, f"{BUCKET}-processed").values()
    assert metadata["label"] == label


def test_a_preview_is_a_small_jpeg(s3: Any, work: Work) -> None:
    pinned = steps.fetch(work)
    review.stage_preview(work, pinned, steps.classify(work, pinned))
    ((name, (data, kind, _)),) = objects(s3, f"{BUCKET}-staging").items()
    assert (name, kind) == (review.preview_key(work.case_id), "image/jpeg")
    assert max(decode(data).pixels.size) <= review.PREVIEW_SIDE
