"""xray.case.quarantine, on an S3 server"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.support import KEYRING, RUN
from tests.support.audit_records import REDACTION
from tests.support.cases import BUCKET, anonymized_image, objects, pinned_again, run_case
from xray import audit
from xray.case import Pinned, Scored, Work, manifest, pictures, quarantine, steps
from xray.case.work import record
from xray.errors import ObjectError, StaleError
from xray.image import decode
from xray.settings import Policy, Settings


def request_of(work: Work) -> tuple[Work, manifest.Request]:
    """The quarantined case as its form sees it, and what the person is asked."""
    request = work.manifest.read()[0].waiting
    assert request is not None
    run = dataclasses.replace(RUN, task="release")
    form = dataclasses.replace(
        work, run=run, token="form:release:6", carried_id=request.case_id, claim=request.claim
    )
    return form, request


def decide(
    form: Work, request: manifest.Request, choice: str, boxes: Any = (), **changes: Any
) -> str:
    """A person's decision on a quarantined case."""
    form = dataclasses.replace(form, **changes)
    pinned = pinned_again(form)
    return released(form, pinned, steps.classify(form, pinned), request, choice, boxes)


def released(
    form: Work,
    pinned: Pinned,
    scored: Scored,
    request: manifest.Request,
    choice: str = quarantine.RELEASE_AS_IT_IS,
    boxes: Any = (),
) -> str:
    """The decision of the person ``dr``."""
    at = "2026-01-01T00:00:00+00:00"
    return quarantine.release(
        form, pinned, scored, request, choice=choice, boxes=boxes, by="dr", at=at
    )


def held(s3: Any) -> dict[str, Any]:
    """The quarantined images, without their pictures."""
    found = objects(s3, f"{BUCKET}-quarantine")
    return {key: value for key, value in found.items() if not pictures.is_picture(key)}


@pytest.mark.parametrize(
    ("choice", "boxes"),
    [(quarantine.RELEASE_AS_IT_IS, []), (quarantine.MASK, [(100, 100, 300, 200)])],
)
def test_a_person_releases_a_quarantined_image(
    s3: Any, work: Work, unredactable: None, choice: str, boxes: Any
) -> None:
    run_case(work)
    ((withheld, *_),) = held(s3).values()
    form, request = request_of(work)
    assert request.sha256 == hashlib.sha256(withheld).hexdigest()
    assert decide(form, request, choice, boxes) == "published and anonymised"
    assert objects(s3, f"{BUCKET}-quarantine") == {}
    assert objects(s3, f"{BUCKET}-staging") == {}
    key, (data, _, metadata) = anonymized_image(s3)
    assert key == work.source.anonymized_keys(KEYRING, str(work.source.etag), ".jpeg")[0]
    assert set(metadata) == {"label", "risk", "model"}
    certificate = json.loads(objects(s3, f"{BUCKET}-anonymized")[f"{key}.json"][0])
    assert certificate["release"] == {"masked": len(boxes)}
    assert certificate["redaction"]["verified"] is False
    assert certificate["caption"] == f"Pneumonia, risk={float(metadata['risk']):.0%}"
    before, after = (decode(one).pixels.crop((100, 100, 300, 200)) for one in (withheld, data))
    moved = max(abs(a - b) for a, b in zip(before.tobytes(), after.tobytes(), strict=True))
    assert (moved > 3) is bool(boxes)
    last = audit.records(work.store, f"{BUCKET}-audit", work.case_id)[-1]
    assert (last["outcome"], last["attempt"]) == ("released", 1)
    assert last["release"] == {
        "choice": choice,
        "boxes": [list(box) for box in boxes],
        "by": "dr",
        "at": "2026-01-01T00:00:00+00:00",
    }
    assert [output["key"] for output in last["outputs"]] == [key, f"{key}.json"]
    assert decide(form, request, choice, boxes) == "published and anonymised", "a retry"
    with pytest.raises(StaleError, match=r"is not the one that was shown"):
        decide(form, request, choice, boxes, token="another:release:6")
    assert audit.records(work.store, f"{BUCKET}-audit", work.case_id)[-1]["outcome"] == "refused"
    trail = [
        (entry.key, work.store.get(f"{BUCKET}-audit", entry.key).data)
        for entry in work.store.list(f"{BUCKET}-audit")
    ]
    assert audit.verify(trail).problems == ()


def test_an_image_that_a_person_withholds_stays_in_quarantine(
    s3: Any, work: Work, unredactable: None
) -> None:
    run_case(work)
    form, request = request_of(work)
    assert decide(form, request, quarantine.WITHHOLD) == "quarantined"
    assert len(held(s3)) == 1
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    last = audit.records(work.store, f"{BUCKET}-audit", work.case_id)[-1]
    assert (last["decision"], last["outputs"]) == ("quarantined", [])


def test_two_people_answer_and_the_first_answer_counts(
    s3: Any, work: Work, unredactable: None
) -> None:
    run_case(work)
    form, request = request_of(work)
    decide(form, request, quarantine.WITHHOLD)
    with pytest.raises(StaleError, match="somebody has decided already"):
        decide(form, request, quarantine.RELEASE_AS_IT_IS, token="another:release:6")
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    *_, kept, refused = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert (kept["release"]["choice"], refused["outcome"]) == (quarantine.WITHHOLD, "refused")
    assert refused["answer"]["choice"] == quarantine.RELEASE_AS_IT_IS
    assert "decided already" in refused["error"]


def test_a_person_can_be_asked_again_about_a_withheld_image(
    s3: Any, work: Work, unredactable: None
) -> None:
    run_case(work)
    form, request = request_of(work)
    decide(form, request, quarantine.WITHHOLD)
    cleared = dataclasses.replace(form, token="form:release:13")
    pinned = pinned_again(cleared)
    again = quarantine.open_request(cleared, pinned, steps.classify(cleared, pinned))
    assert again.sha256 == request.sha256
    assert decide(cleared, again, quarantine.RELEASE_AS_IT_IS) == "published and anonymised"
    with pytest.raises(StaleError, match="no longer in"):
        quarantine.open_request(cleared, pinned, steps.classify(cleared, pinned))


def test_a_rerun_withdraws_the_form(s3: Any, work: Work, unredactable: None) -> None:
    run_case(work)
    form, request = request_of(work)
    closed: list[manifest.Request] = []
    never = Settings(anonymize=Policy.NEVER)
    run_case(
        dataclasses.replace(work, token="run-1:store:13", settings=never, close_form=closed.append)
    )
    assert closed == [request]
    with pytest.raises(StaleError):
        decide(form, request, quarantine.RELEASE_AS_IT_IS)
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    assert objects(s3, f"{BUCKET}-quarantine") == {}
    outcomes = [
        one["outcome"] for one in audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    ]
    assert sorted(outcomes) == ["refused", "succeeded", "succeeded", "withdrawn"]
    assert list(work.store.list(work.buckets.manifests, manifest.WAITING_PREFIX)) == []


def test_a_quarantined_image_that_was_changed_is_not_released(
    s3: Any, work: Work, unredactable: None, as_bytes: Callable[..., bytes], chest: Image.Image
) -> None:
    run_case(work)
    form, request = request_of(work)
    (key,) = held(s3)
    s3.put_object(Bucket=f"{BUCKET}-quarantine", Key=key, Body=as_bytes(chest))
    with pytest.raises(StaleError, match="is not the one that was shown"):
        decide(form, request, quarantine.RELEASE_AS_IT_IS)
    assert objects(s3, f"{BUCKET}-anonymized") == {}


def test_a_form_of_an_earlier_version_is_about_the_image_on_record(
    s3: Any, work: Work, unredactable: None, as_bytes: Callable[..., bytes], chest: Image.Image
) -> None:
    """Version 0.1.0 kept depth and colour, and had no manifests."""
    image = as_bytes(chest.convert("RGB"))
    pinned = dataclasses.replace(steps.fetch(work), claim=0)
    scored = steps.classify(work, pinned)
    for entry in work.store.list(work.buckets.manifests):
        work.store.delete(work.buckets.manifests, entry.key)
    name = f"{work.case_id}/image.jpeg"
    s3.put_object(Bucket=work.buckets.quarantine, Key=name, Body=image)
    output = {
        "bucket": work.buckets.quarantine,
        "key": name,
        "sha256": hashlib.sha256(image).hexdigest(),
        "size": len(image),
    }
    record(
        work,
        audit.SUCCEEDED,
        pinned=pinned.to_record(),
        scored=scored.to_json(),
        decision="quarantined",
        outputs=[output],
        redaction={**REDACTION, "quarantined": True},
    )
    form = dataclasses.replace(work, token="form:release:6", carried_id=work.case_id)
    request = quarantine.open_request(form, pinned, scored)
    quarantine.show(form, request)
    assert len(objects(s3, work.buckets.quarantine)) == 1 + len(pictures.View)
    released(form, pinned, scored, request)
    _, (data, *_) = anonymized_image(s3)
    with Image.open(io.BytesIO(data)) as published:
        assert published.mode == "L"
    assert objects(s3, work.buckets.quarantine) == {}


def test_a_release_needs_the_record_of_the_redaction(
    s3: Any, work: Work, unredactable: None
) -> None:
    run_case(work)
    form, request = request_of(work)
    for entry in work.store.list(f"{BUCKET}-audit"):
        work.store.delete(f"{BUCKET}-audit", entry.key)
    with pytest.raises(ObjectError, match="record of the quarantine is no longer"):
        decide(form, request, quarantine.RELEASE_AS_IT_IS)
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    assert len(held(s3)) == 1


def test_a_newer_upload_supersedes_a_release(
    s3: Any, work: Work, unredactable: None, as_bytes: Callable[..., bytes], chest: Image.Image
) -> None:
    run_case(work)
    form, request = request_of(work)
    pinned = pinned_again(form)
    scored = steps.classify(form, pinned)
    s3.put_object(Bucket=BUCKET, Key=work.source.key, Body=as_bytes(chest))
    with pytest.raises(StaleError, match="a newer upload has taken the place"):
        released(form, pinned, scored, request)
    assert objects(s3, f"{BUCKET}-anonymized") == {}
