"""xray.storage and xray.case.steps, on an S3 server"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.stub import Stubber
from PIL import Image

from tests.support import KEYRING, RUN, SECRET
from xray import audit
from xray.case import Source, Work, ending, publish, quarantine, review, steps
from xray.errors import (
    AlreadyExistsError,
    ImageError,
    NotFoundError,
    ObjectError,
    SettingsError,
    TransientError,
)
from xray.image import decode, encode
from xray.pseudonym import Keyring
from xray.settings import Policy, Settings
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
Save = Callable[..., bytes]


@pytest.fixture
def sick(demo_images: list[Path]) -> bytes:
    return next(path for path in demo_images if "Bruno" in path.name).read_bytes()


def case(store: ObjectStore, source: Source, **changes: Any) -> Work:
    """A case's work."""
    work = Work(
        store=store, source=source, settings=Settings(), keyring=KEYRING, run=RUN, token="store:6"
    )
    return dataclasses.replace(work, **changes)


@pytest.fixture
def work(s3: Any, store: ObjectStore, sick: bytes) -> Work:
    """A case on a sick demo image."""
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=sick)["ETag"].strip('"')
    return case(store, Source(bucket=BUCKET, key=KEY, etag=etag, event_time="2026-01-01T00:00:00Z"))


def staged(work: Work) -> tuple[Any, Any, Any, Any]:
    """What all steps before the last one hand on to it."""
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    annotated = steps.annotate(work, pinned, scored)
    wanted = work.settings.wants_anonymized(scored.label)
    return pinned, scored, annotated, steps.anonymize(work, pinned, scored) if wanted else None


def through(work: Work) -> Any:
    """All steps."""
    return publish.store(work, *staged(work))


def everything(s3: Any, bucket: str) -> dict[str, tuple[bytes, str, dict[str, str]]]:
    """Each object of a bucket: bytes, content type and metadata."""
    found = {}
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        answer = s3.get_object(Bucket=bucket, Key=item["Key"])
        found[item["Key"]] = (answer["Body"].read(), answer["ContentType"], answer["Metadata"])
    return found


def published(s3: Any) -> list[Any]:
    """All that the output buckets hold."""
    return [everything(s3, f"{BUCKET}-{name}") for name in ("processed", "anonymized")]


def test_a_sick_case_is_published_twice_and_recorded(s3: Any, work: Work) -> None:
    outcome = through(work)
    assert (outcome.label, outcome.decision) == ("Pneumonia", "published and anonymised")

    ((key, (data, kind, told)),) = everything(s3, f"{BUCKET}-processed").items()
    assert key == KEY.replace(".jpeg", "-processed.jpeg")
    assert kind == "image/jpeg"
    assert decode(data).pixels.size == decode(s3_original(s3)).pixels.size
    assert told["case-id"] == work.case_id
    assert told["label"] == "Pneumonia"
    assert told["policy"] == "pneumonia"
    assert told["source-version"] == work.source.etag

    ((key, (hidden, kind, told)),) = everything(s3, f"{BUCKET}-anonymized").items()
    assert key == work.source.anonymized_keys(KEYRING, str(work.source.etag), ".jpeg")[0]
    assert kind == "image/jpeg"
    assert set(told) == {"label", "risk", "model"}
    assert hidden != data

    assert everything(s3, f"{BUCKET}-staging") == {}
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["outcome"] == "succeeded"
    assert record["source"]["key"] == KEY
    assert record["settings"] == Settings().to_mapping()
    assert [output["bucket"] for output in record["outputs"]] == [
        f"{BUCKET}-anonymized",
        f"{BUCKET}-processed",
    ], "who sees the annotated image finds all else there"


def s3_original(s3: Any) -> bytes:
    data: bytes = s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return data


def test_running_a_case_again_gives_the_same_and_one_more_record(s3: Any, work: Work) -> None:
    through(work)
    before = published(s3)
    assert through(dataclasses.replace(work, token="store:7")).attempt == 2
    assert published(s3) == before
    records = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert [record["attempt"] for record in records] == [1, 2]


def test_store_alone_can_be_run_again(s3: Any, work: Work) -> None:
    ready = staged(work)
    publish.store(work, *ready)
    before = published(s3)
    assert everything(s3, f"{BUCKET}-staging") == {}
    assert publish.store(dataclasses.replace(work, token="store:7"), *ready).attempt == 2
    assert published(s3) == before
    assert everything(s3, f"{BUCKET}-staging") == {}


@pytest.mark.parametrize(
    ("policy", "wanted"), [(Policy.NEVER, False), (Policy.UNSURE, False), (Policy.ALWAYS, True)]
)
def test_the_policy_decides(s3: Any, work: Work, policy: Policy, wanted: bool) -> None:
    through(dataclasses.replace(work, settings=Settings(anonymize=policy)))
    assert bool(everything(s3, f"{BUCKET}-anonymized")) is wanted


def test_values_between_steps_are_json_and_name_nobody(work: Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    staged = steps.annotate(work, pinned, scored)
    said = json.dumps([pinned.to_json(), scored.to_json(), staged.to_json()])
    for part in ("Ada", "Ashgrove", "1957", "PNEUMONIA/"):
        assert part not in said
    assert type(pinned).from_json(json.loads(json.dumps(pinned.to_json()))) == pinned


def test_a_replaced_object_is_refused(
    s3: Any, work: Work, chest: Image.Image, as_bytes: Save
) -> None:
    pinned = steps.fetch(work)
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=as_bytes(chest))
    for step in (lambda: steps.fetch(work), lambda: steps.classify(work, pinned)):
        with pytest.raises(ObjectError, match="replaced"):
            step()


def test_a_version_stays_that_version(s3: Any, store: ObjectStore, sick: bytes) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=BUCKET, Key=KEY, Body=sick)["VersionId"]
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"newer")
    pinned = steps.fetch(case(store, Source(bucket=BUCKET, key=KEY, version_id=version)))
    assert (pinned.version_id, pinned.size) == (version, len(sick))


def announced(work: Work, ago: timedelta | None) -> Work:
    """The case, as if its notification had come so long ago."""
    moment = (datetime.now(UTC) - ago).isoformat() if ago is not None else None
    return dataclasses.replace(work, source=dataclasses.replace(work.source, event_time=moment))


@pytest.mark.parametrize("ago", [timedelta(seconds=2), timedelta(minutes=-3)])
def test_what_was_announced_just_now_may_come(s3: Any, work: Work, ago: timedelta) -> None:
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(NotFoundError, match="not in xray-data-in yet") as caught:
        steps.fetch(announced(work, ago))
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize("ago", [timedelta(minutes=6), None])
def test_what_was_announced_long_ago_is_gone(s3: Any, work: Work, ago: timedelta | None) -> None:
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(ObjectError, match="it was deleted, or never got there"):
        steps.fetch(announced(work, ago))


def test_what_the_store_says_is_deleted_is_gone_at_once(s3: Any, work: Work) -> None:
    # As AWS and Ceph answer where a delete marker is the newest version; moto lacks the header.
    with Stubber(s3) as answers:
        answers.add_client_error(
            "get_object",
            "NoSuchKey",
            http_status_code=404,
            response_meta={"HTTPHeaders": {"x-amz-delete-marker": "true"}},
        )
        with pytest.raises(ObjectError, match="it was deleted"):
            steps.fetch(announced(work, timedelta(0)))


def test_what_is_deleted_on_the_way_is_gone(s3: Any, work: Work) -> None:
    pinned = steps.fetch(work)
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(ObjectError, match="was deleted from xray-data-in after it was fetched"):
        steps.classify(announced(work, timedelta(0)), pinned)


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"a letter", "neither JPEG")])
def test_what_is_no_image_is_refused(s3: Any, work: Work, content: bytes, said: str) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)["ETag"].strip('"')
    source = dataclasses.replace(work.source, etag=etag)
    with pytest.raises(ImageError, match=said):
        steps.fetch(dataclasses.replace(work, source=source))


def test_a_large_object_is_not_read(work: Work, sick: bytes) -> None:
    with pytest.raises(ImageError, match=f"{len(sick)} bytes"):
        steps.fetch(dataclasses.replace(work, settings=Settings(max_bytes=100)))


def test_a_missing_bucket_is_named(s3: Any, store: ObjectStore) -> None:
    with pytest.raises(ObjectError, match="nowhere does not exist"):
        store.get("nowhere", "k")


def test_a_store_that_is_away_is_a_passing_failure() -> None:
    import boto3
    from botocore.config import Config

    away = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"max_attempts": 1}),
    )
    with pytest.raises(TransientError, match="EndpointConnectionError"):
        ObjectStore(away).get("b", "k")


def test_written_once_is_never_overwritten(s3: Any, store: ObjectStore) -> None:
    store.put(BUCKET, "k", b"one", content_type="text/plain", once=True)
    with pytest.raises(AlreadyExistsError):
        store.put(BUCKET, "k", b"two", content_type="text/plain", once=True)
    assert store.get(BUCKET, "k").data == b"one"


def test_a_newer_uploads_result_is_not_overwritten(
    s3: Any, store: ObjectStore, sick: bytes, chest: Image.Image, as_bytes: Save
) -> None:
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    both = []
    for content in (sick, as_bytes(chest)):
        answer = s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)
        etag, version = answer["ETag"].strip('"'), answer["VersionId"]
        both.append(case(store, Source(bucket=BUCKET, key=KEY, etag=etag, version_id=version)))
    older, newer = both
    ready = staged(older)
    ready = (dataclasses.replace(ready[0], modified="2026-01-01T00:00:00+00:00"), *ready[1:])
    through(newer)
    before = published(s3)
    outcome = publish.store(older, *ready)
    assert outcome.decision == "superseded"
    assert published(s3) == before
    (record,) = audit.records(store, f"{BUCKET}-audit", older.case_id)
    assert (record["decision"], record["outputs"]) == ("superseded", [])
    assert everything(s3, f"{BUCKET}-staging") == {}


class Refusing(ObjectStore):
    """A store that refuses writes to some buckets."""

    refused: tuple[str, ...] = ()

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> None:
        if bucket.endswith(self.refused):
            raise ObjectError(f"The store forbids writing to {bucket}.")
        super().put(bucket, key, data, **options)


def test_a_case_that_cannot_publish_all_publishes_nothing(s3: Any, work: Work) -> None:
    store = Refusing(s3)
    work = dataclasses.replace(work, store=store)
    ready = staged(work)
    store.refused = ("-processed",)
    with pytest.raises(ObjectError) as caught:
        publish.store(work, *ready)
    assert len(everything(s3, f"{BUCKET}-anonymized")) == 1, "it was on its way"
    ending.abandon(work, caught.value, ready[0])
    assert published(s3) == [{}, {}]
    assert everything(s3, f"{BUCKET}-staging") == {}


def test_a_rerun_that_fails_leaves_what_was_published(s3: Any, work: Work) -> None:
    through(work)
    before = published(s3)
    again = dataclasses.replace(work, token="store:7")
    ending.abandon(again, ObjectError("Forbidden."), steps.fetch(again))
    assert published(s3) == before
    records = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert [record["outcome"] for record in records] == ["succeeded", "failed"]


@pytest.mark.parametrize(
    ("error", "said", "kind"),
    [
        (ImageError("It is empty."), "It is empty.", "permanent"),
        (TransientError("It is away."), "It is away.", "passing"),
        (None, "The worker died", "unexpected"),
        (KeyError("Ada Ashgrove"), "Unexpected KeyError", "unexpected"),
    ],
)
def test_a_failure_is_recorded_with_its_reason_and_kind(
    s3: Any, work: Work, error: Exception | None, said: str, kind: str
) -> None:
    assert said in ending.abandon(work, error, None)
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert (record["outcome"], record["kind"], record["run"]) == ("failed", kind, RUN.to_json())
    assert said in record["error"]
    assert "Ashgrove" not in record["error"]


def test_the_first_reason_of_a_try_stays(s3: Any, work: Work) -> None:
    first = ending.abandon(work, ImageError("It is empty."), None)
    assert ending.abandon(work, None, None) == first
    assert len(audit.records(work.store, f"{BUCKET}-audit", work.case_id)) == 1
    later = dataclasses.replace(work, run=dataclasses.replace(RUN, try_number=2))
    assert ending.abandon(later, None, None) != first


def test_settings_that_could_not_be_read_are_not_recorded(work: Work) -> None:
    ending.abandon(work, SettingsError("Wrong."), None)
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["settings"] is None


def test_the_stage_is_cleared_even_if_nothing_can_be_recorded(s3: Any, work: Work) -> None:
    store = Refusing(s3)
    work = dataclasses.replace(work, store=store)
    pinned, *_ = staged(work)
    store.refused = ("-audit",)
    with pytest.raises(ObjectError, match="forbids"):
        ending.abandon(work, None, pinned)
    assert everything(s3, f"{BUCKET}-staging") == {}


def unsure(work: Work) -> Work:
    """The case under settings that make it Unsure, and ask a person."""
    settings = Settings(normal_below=0, pneumonia_above=1, review_unsure=True)
    return dataclasses.replace(work, settings=settings)


@pytest.mark.parametrize(
    ("choice", "label"),
    [("Normal", "Normal"), ("Pneumonia", "Pneumonia"), (review.KEEP, "Unsure")],
)
def test_a_persons_choice_is_recorded_and_counts(
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
    assert (first["attempt"], last["attempt"]) == (1, 1), "one attempt, with a review in it"
    assert last["scored"]["label"] == label
    ((_, _, told),) = everything(s3, f"{BUCKET}-processed").values()
    assert told["label"] == label


def test_nobody_is_asked_without_need(work: Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    assert not work.settings.wants_review(scored.label), "it is off by default"
    settings = Settings(review_unsure=True)
    assert not settings.wants_review(scored.label)


def test_a_preview_is_what_a_browser_shows(s3: Any, work: Work) -> None:
    pinned = steps.fetch(work)
    review.stage_preview(work, pinned, steps.classify(work, pinned))
    ((name, (data, kind, _)),) = everything(s3, f"{BUCKET}-staging").items()
    assert (name, kind) == (review.preview_key(work.case_id), "image/jpeg")
    assert max(decode(data).pixels.size) <= review.PREVIEW_SIDE


@pytest.fixture
def unredactable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that nothing removes."""
    from xray import redaction

    done = redaction.redact

    def redact(image: Image.Image, *args: Any, **options: Any) -> Any:
        return dataclasses.replace(done(image), verified=False, quarantined=True)

    monkeypatch.setattr(redaction, "redact", redact)


def decide(work: Work, choice: str, boxes: Any = ()) -> str:
    """A person's decision on a quarantined case."""
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    work = dataclasses.replace(
        work, run=dataclasses.replace(RUN, task="release"), token="release:6"
    )
    at = "2026-01-01T00:00:00+00:00"
    return quarantine.release(work, pinned, scored, choice=choice, boxes=boxes, by="dr", at=at)


def test_what_cannot_be_redacted_is_quarantined_and_not_published(
    s3: Any, work: Work, unredactable: None
) -> None:
    outcome = through(work)
    assert outcome.decision == "quarantined"
    processed, anonymized = published(s3)
    assert (len(processed), anonymized) == (1, {})
    ((key, (data, kind, _)),) = everything(s3, f"{BUCKET}-quarantine").items()
    assert (key, kind) == (f"{work.case_id}/image.jpeg", "image/jpeg")
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["decision"] == "quarantined"
    assert record["redaction"]["quarantined"]
    assert [output["bucket"] for output in record["outputs"]] == [
        f"{BUCKET}-quarantine",
        f"{BUCKET}-processed",
    ]
    shown = quarantine.quarantine_preview(work.store, work.buckets, work.case_id)
    assert max(decode(shown).pixels.size) <= review.PREVIEW_SIDE + 40
    assert decode(data).pixels.size == decode(s3_original(s3)).pixels.size


@pytest.mark.parametrize(
    ("choice", "boxes"), [(quarantine.RELEASE, []), (quarantine.MASK, [(100, 100, 300, 200)])]
)
def test_a_person_releases_what_was_quarantined(
    s3: Any, work: Work, unredactable: None, choice: str, boxes: Any
) -> None:
    through(work)
    ((_, (withheld, *_)),) = everything(s3, f"{BUCKET}-quarantine").items()
    assert decide(work, choice, boxes) == "published and anonymised"
    assert everything(s3, f"{BUCKET}-quarantine") == {}
    assert everything(s3, f"{BUCKET}-staging") == {}
    ((key, (data, _, told)),) = everything(s3, f"{BUCKET}-anonymized").items()
    assert key == work.source.anonymized_keys(KEYRING, str(work.source.etag), ".jpeg")[0]
    assert set(told) == {"label", "risk", "model"}
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
    assert last["outputs"][0]["key"] == key
    with pytest.raises(ObjectError, match="no longer"):
        decide(work, choice, boxes)
    trail = [
        (entry.key, work.store.get(f"{BUCKET}-audit", entry.key).data)
        for entry in work.store.list(f"{BUCKET}-audit")
    ]
    assert audit.verify(trail).problems == ()


def test_what_a_person_keeps_back_stays_in_quarantine(
    s3: Any, work: Work, unredactable: None
) -> None:
    through(work)
    assert decide(work, quarantine.WITHHOLD) == "quarantined"
    assert len(everything(s3, f"{BUCKET}-quarantine")) == 1
    assert everything(s3, f"{BUCKET}-anonymized") == {}
    last = audit.records(work.store, f"{BUCKET}-audit", work.case_id)[-1]
    assert (last["decision"], last["outputs"]) == ("quarantined", [])


def test_a_rerun_that_quarantines_withdraws_and_one_that_does_not_clears(
    s3: Any, work: Work, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    through(work)
    before = published(s3)
    request.getfixturevalue("unredactable")
    through(dataclasses.replace(work, token="store:7"))
    assert everything(s3, f"{BUCKET}-anonymized") == {}
    monkeypatch.undo()
    through(dataclasses.replace(work, token="store:8"))
    assert published(s3) == before
    assert everything(s3, f"{BUCKET}-quarantine") == {}


def test_a_new_secret_moves_what_is_run_again(s3: Any, work: Work) -> None:
    through(work)
    new = "another secret, newer and long enough"
    rotated = dataclasses.replace(work, keyring=Keyring((new, SECRET)), token="store:7")
    through(rotated)
    assert rotated.case_id == work.case_id
    (key,) = everything(s3, f"{BUCKET}-anonymized")
    assert key == work.source.anonymized_keys(Keyring((new,)), str(work.source.etag), ".jpeg")[0]


@pytest.mark.parametrize("again", ["published", "quarantined"])
def test_a_new_patient_pattern_moves_what_is_run_again(
    s3: Any, work: Work, again: str, request: pytest.FixtureRequest
) -> None:
    through(work)
    (before,) = everything(s3, f"{BUCKET}-anonymized")
    if again == "quarantined":
        request.getfixturevalue("unredactable")
    settings = dataclasses.replace(work.settings, patient_pattern="(?P<patient>never found)")
    through(dataclasses.replace(work, settings=settings, token="store:7"))
    after = everything(s3, f"{BUCKET}-anonymized")
    assert before not in after, "the patient's old pseudonym would stay"
    assert len(after) == (again == "published")


@pytest.fixture
def odd(s3: Any, store: ObjectStore, sick: bytes) -> Work:
    """A case on a chest that hangs upside down."""
    picture = decode(sick)
    turned = picture.pixels.transpose(Image.Transpose.ROTATE_180)
    data = encode(dataclasses.replace(picture, pixels=turned))
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=data)["ETag"].strip('"')
    return case(store, Source(bucket=BUCKET, key=KEY, etag=etag, event_time="2026-01-01T00:00:00Z"))


def test_what_the_model_does_not_know_is_unsure_with_the_reason(s3: Any, odd: Work) -> None:
    assert through(odd).label == "Unsure"
    ((_, _, told),) = published(s3)[0].values()
    assert (told["label"], told["refused"]) == ("Unsure", "upside down")
    assert "risk" not in told, "it would mean nothing"
    (record,) = audit.records(odd.store, odd.buckets.audit, odd.case_id)
    assert record["scored"]["refused"] == "upside down"


@pytest.mark.parametrize(("policy", "wanted"), [(Policy.UNSURE, True), (Policy.PNEUMONIA, False)])
def test_the_policy_takes_a_refused_image_for_unsure(
    odd: Work, policy: Policy, wanted: bool
) -> None:
    settings = Settings(anonymize=policy, review_unsure=True)
    work = dataclasses.replace(odd, settings=settings)
    scored = steps.classify(work, steps.fetch(work))
    assert work.settings.wants_anonymized(scored.label) is wanted
    assert work.settings.wants_review(scored.label)


def test_the_evidence_is_shown_on_the_identified_side_alone(s3: Any, work: Work) -> None:
    through(work)
    without = published(s3)
    assert [len(objects) for objects in without] == [1, 1], "it is off by default"
    through(dataclasses.replace(work, settings=Settings(evidence=True)))
    processed, anonymized = published(s3)
    name = KEY.replace(".jpeg", "-evidence.jpeg")
    data, kind, told = processed.pop(name)
    assert (processed, anonymized) == tuple(without), "all else is as it was"
    assert kind == "image/jpeg"
    assert told["case-id"] == work.case_id
    picture = decode(data).pixels
    assert picture.mode == "RGB"
    red, _, blue = np.asarray(picture, int).reshape(-1, 3).T
    assert (red - blue).max() > 60, "something speaks for pneumonia"


def test_the_evidence_of_a_refused_image_is_not_shown(s3: Any, odd: Work) -> None:
    through(dataclasses.replace(odd, settings=Settings(evidence=True)))
    assert [name for name in published(s3)[0] if "evidence" in name] == []


def test_a_staged_image_that_was_changed_is_not_published(s3: Any, work: Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    staged = steps.annotate(work, pinned, scored)
    s3.put_object(Bucket=f"{BUCKET}-staging", Key=staged.name, Body=b"other")
    with pytest.raises(ObjectError, match="not the one that was staged"):
        publish.store(work, pinned, scored, staged, None)
    assert everything(s3, f"{BUCKET}-processed") == {}


def test_a_listing_goes_past_one_page(s3: Any, store: ObjectStore) -> None:
    for number in range(1005):
        s3.put_object(Bucket=BUCKET, Key=f"many/{number:05d}", Body=b"")
    assert sum(1 for _ in store.list(BUCKET, "many/")) == 1005
