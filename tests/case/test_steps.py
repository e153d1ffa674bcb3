"""xray.case.steps, on an S3 server"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.stub import Stubber
from PIL import Image

from tests.support import ROOT
from tests.support.cases import BUCKET, KEY, case, upload
from tests.support.dicom_files import dicom
from xray.case import Source, Work, hand_over, steps
from xray.errors import ImageError, NotFoundError, ObjectError
from xray.image import decode
from xray.risk import RiskModel, shared_model
from xray.settings import Policy, Settings
from xray.storage import ObjectStore


def test_a_replaced_object_is_refused(
    s3: Any, work: Work, chest: Image.Image, as_bytes: Callable[..., bytes]
) -> None:
    pinned = steps.fetch(work)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=as_bytes(chest))
    for step in (lambda: steps.fetch(work), lambda: steps.classify(work, pinned)):
        with pytest.raises(ObjectError, match="replaced"):
            step()


def test_a_version_is_pinned(s3: Any, store: ObjectStore, sick: bytes) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=BUCKET, Key=KEY, Body=sick)["VersionId"]
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"newer")
    pinned = steps.fetch(case(store, Source(bucket=BUCKET, key=KEY, version_id=version)))
    assert (pinned.version_id, pinned.size) == (version, len(sick))


def announced(work: Work, ago: timedelta | None) -> Work:
    """The case, as if its notification had come ``ago``."""
    moment = (datetime.now(UTC) - ago).isoformat() if ago is not None else None
    return dataclasses.replace(work, source=dataclasses.replace(work.source, event_time=moment))


@pytest.mark.parametrize("ago", [timedelta(seconds=2), timedelta(minutes=-3)])
def test_an_object_announced_just_now_is_looked_for_again(
    s3: Any, work: Work, ago: timedelta
) -> None:
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(NotFoundError, match="not in xray-data-in yet") as caught:
        steps.fetch(announced(work, ago))
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize("ago", [timedelta(minutes=6), None])
def test_an_object_announced_long_ago_is_gone(s3: Any, work: Work, ago: timedelta | None) -> None:
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(ObjectError, match="it was deleted, or never got there"):
        steps.fetch(announced(work, ago))


def test_an_object_with_a_delete_marker_is_gone_at_once(s3: Any, work: Work) -> None:
    # AWS and Ceph send this header if the newest version is a delete marker; moto does not.
    with Stubber(s3) as answers:
        answers.add_client_error(
            "get_object",
            "NoSuchKey",
            http_status_code=404,
            response_meta={"HTTPHeaders": {"x-amz-delete-marker": "true"}},
        )
        with pytest.raises(ObjectError, match="it was deleted"):
            steps.fetch(announced(work, timedelta(0)))


def test_an_object_deleted_after_fetch_is_gone(s3: Any, work: Work) -> None:
    pinned = steps.fetch(work)
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(ObjectError, match="was deleted from xray-data-in after it was fetched"):
        steps.classify(announced(work, timedelta(0)), pinned)


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"a letter", "neither JPEG")])
def test_an_object_that_is_not_an_image_is_refused(
    s3: Any, work: Work, content: bytes, said: str
) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)["ETag"].strip('"')
    source = dataclasses.replace(work.source, etag=etag)
    with pytest.raises(ImageError, match=said):
        steps.fetch(dataclasses.replace(work, source=source))


def test_a_large_object_is_not_read(work: Work, sick: bytes) -> None:
    with pytest.raises(ImageError, match=f"{len(sick)} bytes"):
        steps.fetch(dataclasses.replace(work, settings=Settings(max_bytes=100)))


def test_a_shadow_model_scores_too_and_decides_nothing(work: Work, tmp_path: Path) -> None:
    pinned, alone = steps.fetch(work), steps.classify(work, steps.fetch(work))
    assert alone.shadow is None
    for name in ("model.json", "xray.tflite"):
        shutil.copy(ROOT / "include" / "model" / name, tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**card, "version": "another"}))
    settings = Settings(shadow_model=str(tmp_path))
    scored = steps.classify(dataclasses.replace(work, settings=settings), pinned)
    shadow = {"risk": alone.risk, "label": alone.label, "refused": None, "model": "another"}
    assert scored == dataclasses.replace(alone, shadow=shadow)
    assert str(alone.risk) not in json.dumps(hand_over(work, scored)), "the exact risk is sealed"


def test_a_shadow_model_that_fails_does_not_fail_the_case(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned, alone = steps.fetch(work), steps.classify(work, steps.fetch(work))
    work = dataclasses.replace(work, settings=Settings(shadow_model=str(tmp_path)))
    shadow = steps.classify(work, pinned).shadow
    assert shadow
    assert "model.json is missing" in shadow["problem"]
    assert steps.classify(work, pinned) == dataclasses.replace(alone, shadow=shadow)

    def fail(directory: Path | None = None) -> RiskModel:
        if directory:
            raise RuntimeError("Ada Ashgrove")
        return shared_model()

    monkeypatch.setattr("xray.risk.shared_model", fail)
    shadow = steps.classify(work, pinned).shadow
    assert shadow == {"problem": "The shadow model cannot score the image (RuntimeError)."}


def test_an_image_whose_header_names_another_view_is_unsure(
    s3: Any, store: ObjectStore, sick: bytes
) -> None:
    pixels = np.asarray(decode(sick).pixels.convert("L"))
    for view, refused in (("LL", "a view from the side"), ("PA", None)):
        work = upload(s3, store, dicom(pixels, ViewPosition=view))
        scored = steps.classify(work, steps.fetch(work))
        assert scored.refused == refused
        assert (scored.label == "Unsure") is bool(refused)


def test_a_review_is_off_by_default_and_for_unsure_cases_only(work: Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    assert not work.settings.wants_review(scored.label), "it is off by default"
    settings = Settings(review_unsure=True)
    assert not settings.wants_review(scored.label)


@pytest.mark.parametrize(("policy", "wanted"), [(Policy.UNSURE, True), (Policy.PNEUMONIA, False)])
def test_the_policy_takes_a_refused_image_for_unsure(
    upside_down: Work, policy: Policy, wanted: bool
) -> None:
    settings = Settings(anonymize=policy, review_unsure=True)
    work = dataclasses.replace(upside_down, settings=settings)
    scored = steps.classify(work, steps.fetch(work))
    assert work.settings.wants_anonymized(scored.label) is wanted
    assert work.settings.wants_review(scored.label)
