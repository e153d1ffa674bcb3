"""xray.case.review, on an S3 server"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support.cases import BUCKET, carried, objects, run_case
from xray import audit
from xray.case import Pinned, Scored, Work, manifest, pictures, publish, review, steps
from xray.errors import StaleError
from xray.image import decode
from xray.settings import Settings


def unsure(work: Work) -> Work:
    """The case under settings that label every image Unsure and ask for a review."""
    settings = Settings(normal_below=0, pneumonia_above=1, review_unsure=True)
    return dataclasses.replace(work, settings=settings)


AT = "2026-01-01T00:00:00+00:00"


def asked(work: Work) -> tuple[Work, Pinned, Scored, manifest.Request]:
    """A case that waits for a review, as its form sees it."""
    pinned = steps.fetch(work)
    work = carried(work, pinned)
    scored = steps.classify(work, pinned)
    request = review.ask_for_review(work, pinned, scored)
    return dataclasses.replace(work, token="form:review:6"), pinned, scored, request


@pytest.mark.parametrize(
    ("choice", "label"),
    [("Normal", "Normal"), ("Pneumonia", "Pneumonia"), (review.KEEP, "Unsure")],
)
def test_a_persons_choice_is_recorded_and_applied(
    s3: Any, work: Work, choice: str, label: str
) -> None:
    form, pinned, scored, request = asked(unsure(work))
    assert form.settings.wants_review(scored.label)
    (marker,) = work.store.list(work.buckets.manifests, manifest.WAITING_PREFIX)
    assert marker.key == request.marker
    result = review.record_review(form, scored, request, choice=choice, by="dr", at=AT)
    assert (result.label, result.risk) == (label, scored.risk)
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["outcome"] == "reviewed"
    assert record["scored"]["review"] == {
        "label_before": "Unsure",
        "choice": choice,
        "by": "dr",
        "at": AT,
    }
    assert list(work.store.list(work.buckets.manifests, manifest.WAITING_PREFIX)) == []
    annotated = steps.annotate(form, pinned, result)
    publish.store(dataclasses.replace(form, token="form:store:6"), pinned, result, annotated, None)
    first, last = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert (first["attempt"], last["attempt"]) == (1, 1), "the review belongs to the attempt"
    assert last["scored"]["label"] == label
    ((_, _, metadata),) = objects(s3, f"{BUCKET}-processed").values()
    assert metadata["label"] == label
    assert objects(s3, f"{BUCKET}-staging") == {}, "the pictures are removed with the rest"


def test_a_review_that_nobody_has_answered_is_on_record_as_expired(work: Work) -> None:
    form, _, scored, request = asked(unsure(work))
    result = review.record_review(form, scored, request, choice=review.KEEP, by=None, at=AT)
    assert result.label == "Unsure"
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["outcome"] == "expired"
    assert record["request"] == {"kind": "review", "claim": 1, "sha256": request.sha256}


def test_a_rerun_withdraws_a_review(work: Work) -> None:
    work = unsure(work)
    form, _, scored, request = asked(work)
    run_case(
        dataclasses.replace(
            work, token="run-1:fetch:13", settings=dataclasses.replace(work.settings)
        )
    )
    with pytest.raises(StaleError, match="the case was run again"):
        review.record_review(form, scored, request, choice="Normal", by="dr", at=AT)
    outcomes = [
        one["outcome"] for one in audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    ]
    assert sorted(outcomes) == ["refused", "succeeded", "withdrawn"]


def test_the_pictures_of_a_review_are_staged(s3: Any, work: Work) -> None:
    _, _, _, request = asked(unsure(work))
    staged = objects(s3, f"{BUCKET}-staging")
    wanted = {pictures.picture_name(request.case_id, request.claim, view) for view in pictures.View}
    assert set(staged) == wanted
    preview = staged[pictures.picture_name(request.case_id, request.claim, pictures.View.PREVIEW)]
    assert max(decode(preview[0]).pixels.size) <= pictures.PREVIEW_SIDE
