"""xray.case.publish, on an S3 server"""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import KEYRING, SECRET
from tests.support.cases import (
    BUCKET,
    KEY,
    anonymized_image,
    case,
    objects,
    original,
    published,
    run_case,
    run_steps,
)
from xray import audit
from xray.case import Scored, Source, Work, pictures, publish, steps
from xray.case.pictures import thumbnail_key
from xray.case.work import stage
from xray.errors import ObjectError
from xray.image import decode
from xray.pseudonym import Keyring
from xray.settings import Policy, Settings
from xray.storage import ObjectStore


def test_a_case_with_pneumonia_is_published_twice_and_recorded(s3: Any, work: Work) -> None:
    outcome = run_case(work)
    assert (outcome.label, outcome.decision) == ("Pneumonia", "published and anonymised")

    ((key, (data, kind, metadata)),) = objects(s3, f"{BUCKET}-processed").items()
    assert key == KEY.replace(".jpeg", "-processed.jpeg")
    assert kind == "image/jpeg"
    assert decode(data).pixels.size == decode(original(s3)).pixels.size
    assert metadata["case-id"] == work.case_id
    assert metadata["label"] == "Pneumonia"
    assert metadata["policy"] == "pneumonia"
    assert metadata["source-version"] == work.source.etag

    key, (hidden, kind, metadata) = anonymized_image(s3)
    assert key == work.source.anonymized_keys(KEYRING, str(work.source.etag), ".jpeg")[0]
    assert kind == "image/jpeg"
    assert set(metadata) == {"label", "risk", "model"}
    assert hidden != data
    assert decode(hidden).pixels.mode == "L"

    assert objects(s3, f"{BUCKET}-staging") == {}
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["outcome"] == "succeeded"
    assert record["source"]["key"] == KEY
    assert record["settings"] == Settings().to_mapping()
    assert [(output["bucket"], output["key"]) for output in record["outputs"]] == [
        (f"{BUCKET}-anonymized", key),
        (f"{BUCKET}-anonymized", f"{key}.json"),
        (f"{BUCKET}-manifests", thumbnail_key(work.case_id)),
        (f"{BUCKET}-processed", work.source.processed_key()),
    ], "the annotated image is published last"
    for output in record["outputs"]:
        written = work.store.get(output["bucket"], output["key"])
        assert (output["sha256"], output["size"]) == (written.sha256, len(written.data))
    assert audit_problems(work) == ()


def audit_problems(work: Work) -> Any:
    """The problems of the whole audit trail."""
    bucket = work.buckets.audit
    trail = [(one.key, work.store.get(bucket, one.key).data) for one in work.store.list(bucket)]
    return audit.verify(trail).problems


def test_the_anonymised_side_has_the_risk_in_two_digits(s3: Any, work: Work) -> None:
    pinned, scored, *staged = run_steps(work)
    outcome = publish.store(work, pinned, scored, *staged)
    exact, short = f"{scored.risk:.6f}", f"{scored.risk:.2f}"
    assert not exact.startswith(f"{short}0000"), "the exact risk has more digits"
    assert outcome.risk == float(short)
    key, (_, _, metadata) = anonymized_image(s3)
    assert metadata["risk"] == short
    certificate = json.loads(objects(s3, f"{BUCKET}-anonymized")[f"{key}.json"][0])
    assert certificate["caption"] == f"Pneumonia, risk={scored.risk:.0%}"
    assert exact[:5] not in json.dumps(certificate)
    ((_, _, identified),) = objects(s3, f"{BUCKET}-processed").values()
    assert identified["risk"] == exact
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert record["scored"]["risk"] == scored.risk
    assert steps.caption_of(scored) == f"Pneumonia, risk={scored.risk:.2%}"


def test_a_risk_close_to_a_threshold_is_rounded_to_its_label(work: Work) -> None:
    scored = Scored(risk=0.8012, label="Pneumonia", model="m")
    assert steps.anonymous_caption_of(scored, work.settings) == "Pneumonia, risk=81%"
    assert publish.anonymous_metadata(scored, work.settings)["risk"] == "0.81"


def test_a_certificate_tells_no_time_and_no_case(s3: Any, work: Work) -> None:
    run_case(work)
    key, _ = anonymized_image(s3)
    text = objects(s3, f"{BUCKET}-anonymized")[f"{key}.json"][0].decode()
    for private in (work.case_id, "Ada", "1234", "2016", "admin", *key.split("/")):
        assert private not in text
    assert not re.search(r"20\d\d-\d\d|\d\d:\d\d", text)


def test_running_a_case_again_gives_the_same_and_one_more_record(s3: Any, work: Work) -> None:
    run_case(work)
    before = published(s3)
    assert run_case(dataclasses.replace(work, token="store:7")).attempt == 2
    assert published(s3) == before
    records = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert [record["attempt"] for record in records] == [1, 2]


def test_a_small_picture_of_the_original_is_published_for_the_list_of_cases(
    s3: Any, work: Work
) -> None:
    publish.store(work, *run_steps(work))
    key = thumbnail_key(work.case_id)
    data, kind, metadata = objects(s3, f"{BUCKET}-manifests")[key]
    small = Image.open(io.BytesIO(data))
    assert (kind, metadata) == ("image/jpeg", {})
    assert (small.format, max(small.size)) == ("JPEG", pictures.THUMBNAIL_SIDE)
    original_size = decode(original(s3)).pixels.size
    assert small.width / small.height == pytest.approx(
        original_size[0] / original_size[1], rel=0.02
    )


def test_store_alone_can_be_run_again(s3: Any, work: Work) -> None:
    ready = run_steps(work)
    publish.store(work, *ready)
    before = published(s3)
    assert objects(s3, f"{BUCKET}-staging") == {}
    assert publish.store(dataclasses.replace(work, token="store:7"), *ready).attempt == 2
    assert published(s3) == before
    assert objects(s3, f"{BUCKET}-staging") == {}


def test_an_anonymised_image_that_an_earlier_version_staged_is_made_again(
    s3: Any, work: Work
) -> None:
    pinned, scored, annotated, anonymized = run_steps(work)
    assert anonymized is not None
    assert anonymized.redaction is not None
    picture = decode(original(s3))
    colour = picture.pixels.convert("RGB")
    earlier = dataclasses.replace(
        stage(work, "anonymized", picture, colour),
        redaction={
            name: anonymized.redaction[name]
            for name in ("engine", "regions", "verified", "quarantined")
        },
    )
    assert publish.store(work, pinned, scored, annotated, earlier).decision.value == (
        "published and anonymised"
    )
    _, (hidden, _, _) = anonymized_image(s3)
    assert decode(hidden).pixels.mode == "L"
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert record["redaction"] == anonymized.redaction


@pytest.mark.parametrize(
    ("policy", "wanted"), [(Policy.NEVER, False), (Policy.UNSURE, False), (Policy.ALWAYS, True)]
)
def test_the_policy_decides(s3: Any, work: Work, policy: Policy, wanted: bool) -> None:
    run_case(dataclasses.replace(work, settings=Settings(anonymize=policy)))
    assert len(objects(s3, f"{BUCKET}-anonymized")) == (2 if wanted else 0)


def test_a_newer_uploads_result_is_not_overwritten(
    s3: Any, store: ObjectStore, sick: bytes, chest: Image.Image, as_bytes: Callable[..., bytes]
) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    both = []
    for content in (sick, as_bytes(chest)):
        answer = s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)
        etag, version = answer["ETag"].strip('"'), answer["VersionId"]
        both.append(case(store, Source(bucket=BUCKET, key=KEY, etag=etag, version_id=version)))
    older, newer = both
    ready = run_steps(older)
    ready = (dataclasses.replace(ready[0], modified="2026-01-01T00:00:00+00:00"), *ready[1:])
    run_case(newer)
    before = published(s3)
    outcome = publish.store(older, *ready)
    assert outcome.decision == "superseded"
    assert published(s3) == before
    (record,) = audit.records(store, f"{BUCKET}-audit", older.case_id)
    assert (record["decision"], record["outputs"]) == ("superseded", [])
    assert objects(s3, f"{BUCKET}-staging") == {}


def test_an_image_that_cannot_be_redacted_is_quarantined_and_not_published(
    s3: Any, work: Work, unredactable: None
) -> None:
    outcome = run_case(work)
    assert outcome.decision == "quarantined"
    processed, anonymized = published(s3)
    assert (len(processed), anonymized) == (1, {})
    held = objects(s3, f"{BUCKET}-quarantine")
    key = next(key for key in held if not pictures.is_picture(key))
    data, kind, _ = held[key]
    assert len(held) == 1 + len(pictures.View)
    assert (key, kind) == (f"{work.case_id}/1/image.jpeg", "image/jpeg")
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["decision"] == "quarantined"
    assert record["redaction"]["quarantined"]
    assert [output["bucket"] for output in record["outputs"]] == [
        *[f"{BUCKET}-quarantine"] * (1 + len(pictures.View)),
        f"{BUCKET}-manifests",
        f"{BUCKET}-processed",
    ]
    assert decode(data).pixels.size == decode(original(s3)).pixels.size


def test_a_rerun_moves_an_image_to_the_quarantine_and_another_moves_it_back(
    s3: Any, work: Work, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    run_case(work)
    before = published(s3)
    request.getfixturevalue("unredactable")
    run_case(dataclasses.replace(work, token="store:7"))
    assert objects(s3, f"{BUCKET}-anonymized") == {}
    monkeypatch.undo()
    run_case(dataclasses.replace(work, token="store:8"))
    assert published(s3) == before
    assert objects(s3, f"{BUCKET}-quarantine") == {}


def test_a_rerun_moves_the_image_after_a_new_secret(s3: Any, work: Work) -> None:
    run_case(work)
    new = "another secret, newer and long enough"
    rotated = dataclasses.replace(work, keyring=Keyring((new, SECRET)), token="store:7")
    run_case(rotated)
    assert rotated.case_id == work.case_id
    key, certificate = objects(s3, f"{BUCKET}-anonymized")
    assert certificate == f"{key}.json"
    assert key == work.source.anonymized_keys(Keyring((new,)), str(work.source.etag), ".jpeg")[0]


@pytest.mark.parametrize("again", ["published", "quarantined"])
def test_a_rerun_moves_the_image_after_a_new_patient_pattern(
    s3: Any, work: Work, again: str, request: pytest.FixtureRequest
) -> None:
    run_case(work)
    before = set(objects(s3, f"{BUCKET}-anonymized"))
    if again == "quarantined":
        request.getfixturevalue("unredactable")
    settings = dataclasses.replace(work.settings, patient_pattern="(?P<patient>never found)")
    run_case(dataclasses.replace(work, settings=settings, token="store:7"))
    after = objects(s3, f"{BUCKET}-anonymized")
    assert not before & set(after), "the patient's old pseudonym must not stay"
    assert len(after) == (2 if again == "published" else 0)


def test_an_image_that_the_model_refuses_is_unsure_with_the_reason(
    s3: Any, upside_down: Work
) -> None:
    assert run_case(upside_down).label == "Unsure"
    ((_, _, metadata),) = published(s3)[0].values()
    assert (metadata["label"], metadata["refused"]) == ("Unsure", "upside down")
    assert "risk" not in metadata, "it would mean nothing"
    (record,) = audit.records(upside_down.store, upside_down.buckets.audit, upside_down.case_id)
    assert record["scored"]["refused"] == "upside down"


def test_the_evidence_is_shown_on_the_identified_side_alone(s3: Any, work: Work) -> None:
    run_case(work)
    without = published(s3)
    assert [len(objects) for objects in without] == [1, 2], "it is off by default"
    run_case(dataclasses.replace(work, settings=Settings(evidence=True)))
    processed, anonymized = published(s3)
    name = KEY.replace(".jpeg", "-evidence.jpeg")
    data, kind, metadata = processed.pop(name)
    assert (processed, anonymized) == tuple(without), "nothing else has changed"
    assert kind == "image/jpeg"
    assert metadata["case-id"] == work.case_id
    picture = decode(data).pixels
    assert picture.mode == "RGB"
    red, _, blue = np.asarray(picture, int).reshape(-1, 3).T
    assert (red - blue).max() > 60, "something is evidence for pneumonia"


def test_the_evidence_of_a_refused_image_is_not_shown(s3: Any, upside_down: Work) -> None:
    run_case(dataclasses.replace(upside_down, settings=Settings(evidence=True)))
    assert [name for name in published(s3)[0] if "evidence" in name] == []


def test_a_staged_image_that_was_changed_is_not_published(s3: Any, work: Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    staged = steps.annotate(work, pinned, scored)
    s3.put_object(Bucket=f"{BUCKET}-staging", Key=staged.name, Body=b"other")
    with pytest.raises(ObjectError, match="not the one that was staged"):
        publish.store(work, pinned, scored, staged, None)
    assert objects(s3, f"{BUCKET}-processed") == {}
