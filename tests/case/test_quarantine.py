"""xray.case.quarantine, on an S3 server"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.support import KEYRING, RUN
from tests.support.cases import BUCKET, anonymized_image, objects, run_case
from xray import audit
from xray.case import Work, quarantine, review, steps
from xray.errors import ObjectError
from xray.image import decode


def decide(work: Work, choice: str, boxes: Any = ()) -> str:
    """A person's decision on a quarantined case."""
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    work = dataclasses.replace(
        work, run=dataclasses.replace(RUN, task="release"), token="release:6"
    )
    at = "2026-01-01T00:00:00+00:00"
    return quarantine.release(work, pinned, scored, choice=choice, boxes=boxes, by="dr", at=at)


@pytest.mark.parametrize(
    ("choice", "boxes"), [(quarantine.RELEASE, []), (quarantine.MASK, [(100, 100, 300, 200)])]
)
def test_a_person_releases_a_quarantined_image(
    s3: Any, work: Work, unredactable: None, choice: str, boxes: Any
) -> None:
    run_case(work)
    ((_, (withheld, *_)),) = objects(s3, f"{BUCKET}-quarantine").items()
    assert decide(work, choice, boxes) == "published and anonymised"
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
    with pytest.raises(ObjectError, match="no longer"):
        decide(work, choice, boxes)
    trail = [
        (entry.key, work.store.get(f"{BUCKET}-audit", entry.key).data)
        for entry in work.store.list(f"{BUCKET}-audit")
    ]
    assert audit.verify(trail).problems == ()


def test_an_image_that_a_person_withholds_stays_in_quarantine(
    s3: Any, work: Work, unredactable: None
) -> None:
    run_case(work)
    assert decide(work, quarantine.WITHHOLD) == "quarantined"
    assert len(objects(s3, f"{BUCKET}-quarantine")) == 1
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    last = audit.records(work.store, f"{BUCKET}-audit", work.case_id)[-1]
    assert (last["decision"], last["outputs"]) == ("quarantined", [])


def test_a_quarantined_image_of_an_earlier_version_is_published_as_8_bit_grey(
    s3: Any, work: Work, unredactable: None, as_bytes: Callable[..., bytes], chest: Image.Image
) -> None:
    run_case(work)
    name = f"{work.case_id}/image.jpeg"
    coloured = as_bytes(chest.convert("RGB"))
    s3.put_object(Bucket=f"{BUCKET}-quarantine", Key=name, Body=coloured)
    decide(work, quarantine.RELEASE)
    _, (data, *_) = anonymized_image(s3)
    with Image.open(io.BytesIO(data)) as published:
        assert published.mode == "L"


def test_a_release_needs_the_record_of_the_redaction(
    s3: Any, work: Work, unredactable: None
) -> None:
    run_case(work)
    for entry in work.store.list(f"{BUCKET}-audit"):
        work.store.delete(f"{BUCKET}-audit", entry.key)
    with pytest.raises(ObjectError, match="record of the quarantine is no longer"):
        decide(work, quarantine.RELEASE)
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    assert len(objects(s3, f"{BUCKET}-quarantine")) == 1


def test_a_preview_of_a_quarantined_image_is_small(work: Work, unredactable: None) -> None:
    run_case(work)
    shown = quarantine.quarantine_preview(work.store, work.buckets, work.case_id)
    assert max(decode(shown).pixels.size) <= review.PREVIEW_SIDE + 40, "with its rulers"


def test_a_newer_upload_supersedes_a_release(s3: Any, work: Work, unredactable: None) -> None:
    run_case(work)
    key = work.source.processed_key()
    metadata = {"source-modified": "2100-01-01T00:00:00+00:00"}
    s3.put_object(Bucket=f"{BUCKET}-processed", Key=key, Body=b"newer", Metadata=metadata)
    assert decide(work, quarantine.RELEASE) == "superseded"
    assert objects(s3, f"{BUCKET}-quarantine") == {}
    assert objects(s3, f"{BUCKET}-anonymized") == {}
