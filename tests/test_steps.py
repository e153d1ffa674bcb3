"""xray.storage, xray.audit and xray.steps, on an S3 server"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import SECRET
from xray import audit, steps
from xray.case import Source
from xray.errors import ImageError, ObjectError, PassingError
from xray.image import decode
from xray.settings import Policy, Settings
from xray.storage import AlreadyThere, ObjectStore

BUCKET = "xray-data-in"
KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
Save = Callable[..., bytes]


@pytest.fixture
def sick(demo_images: list[Path]) -> bytes:
    return next(path for path in demo_images if "Bruno" in path.name).read_bytes()


@pytest.fixture
def work(s3: Any, store: ObjectStore, sick: bytes) -> steps.Work:
    """A case on a sick demo image."""
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=sick)["ETag"].strip('"')
    source = Source(bucket=BUCKET, key=KEY, etag=etag, event_time="2026-01-01T00:00:00Z")
    return steps.Work(store=store, source=source, settings=Settings(), secret=SECRET)


def through(work: steps.Work) -> Any:
    """All five steps."""
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    annotated = steps.annotate(work, pinned, scored)
    anonymized = steps.anonymize(work, pinned, scored)
    return steps.store(work, pinned, scored, annotated, anonymized)


def everything(s3: Any, bucket: str) -> dict[str, tuple[bytes, str, dict[str, str]]]:
    """Each object of a bucket: bytes, content type and metadata."""
    found = {}
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        answer = s3.get_object(Bucket=bucket, Key=item["Key"])
        found[item["Key"]] = (answer["Body"].read(), answer["ContentType"], answer["Metadata"])
    return found


def test_a_sick_case_is_published_twice_and_recorded(s3: Any, work: steps.Work) -> None:
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
    assert key == work.source.anonymized_key(SECRET, ".jpeg")
    assert kind == "image/jpeg"
    assert set(told) == {"label", "risk", "model"}
    assert hidden != data

    assert everything(s3, f"{BUCKET}-staging") == {}
    (record,) = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert record["outcome"] == "succeeded"
    assert record["source"]["key"] == KEY
    assert record["settings"] == Settings().to_mapping()
    assert [output["bucket"] for output in record["outputs"]] == [
        f"{BUCKET}-processed",
        f"{BUCKET}-anonymized",
    ]


def s3_original(s3: Any) -> bytes:
    data: bytes = s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return data


def test_running_a_case_again_gives_the_same_and_one_more_record(s3: Any, work: steps.Work) -> None:
    through(work)
    buckets = (f"{BUCKET}-processed", f"{BUCKET}-anonymized")
    before = [everything(s3, bucket) for bucket in buckets]
    assert through(work).attempt == 2
    assert [everything(s3, bucket) for bucket in buckets] == before
    records = audit.records(work.store, f"{BUCKET}-audit", work.case_id)
    assert [record["attempt"] for record in records] == [1, 2]


@pytest.mark.parametrize(
    ("policy", "wanted"), [(Policy.NEVER, False), (Policy.UNSURE, False), (Policy.ALWAYS, True)]
)
def test_the_policy_decides(s3: Any, work: steps.Work, policy: Policy, wanted: bool) -> None:
    through(dataclasses.replace(work, settings=Settings(anonymize=policy)))
    assert bool(everything(s3, f"{BUCKET}-anonymized")) is wanted


def test_values_between_steps_are_json_and_name_nobody(work: steps.Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    staged = steps.annotate(work, pinned, scored)
    said = json.dumps([pinned.to_json(), scored.to_json(), staged.to_json()])
    for part in ("Ada", "Ashgrove", "1957", "PNEUMONIA/"):
        assert part not in said
    assert type(pinned).from_json(json.loads(json.dumps(pinned.to_json()))) == pinned


def test_a_replaced_object_is_refused(
    s3: Any, work: steps.Work, chest: Image.Image, as_bytes: Save
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
    source = Source(bucket=BUCKET, key=KEY, version_id=version)
    pinned = steps.fetch(steps.Work(store=store, source=source, settings=Settings(), secret=SECRET))
    assert (pinned.version_id, pinned.size) == (version, len(sick))


def test_what_is_not_there_may_come(s3: Any, work: steps.Work) -> None:
    s3.delete_object(Bucket=BUCKET, Key=KEY)
    with pytest.raises(PassingError, match="not complete yet") as caught:
        steps.fetch(work)
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"a letter", "neither JPEG")])
def test_what_is_no_image_is_refused(s3: Any, work: steps.Work, content: bytes, said: str) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=content)["ETag"].strip('"')
    source = dataclasses.replace(work.source, etag=etag)
    with pytest.raises(ImageError, match=said):
        steps.fetch(dataclasses.replace(work, source=source))


def test_a_large_object_is_not_read(work: steps.Work, sick: bytes) -> None:
    with pytest.raises(ImageError, match=f"{len(sick)} bytes"):
        steps.fetch(dataclasses.replace(work, settings=Settings(max_bytes=100)))


def test_a_missing_bucket_is_named(s3: Any, store: ObjectStore) -> None:
    with pytest.raises(ObjectError, match="nowhere does not exist"):
        store.read("nowhere", "k")


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
    with pytest.raises(PassingError, match="EndpointConnectionError"):
        ObjectStore(away).read("b", "k")


def test_written_once_is_never_overwritten(s3: Any, store: ObjectStore) -> None:
    store.write(BUCKET, "k", b"one", content_type="text/plain", once=True)
    with pytest.raises(AlreadyThere):
        store.write(BUCKET, "k", b"two", content_type="text/plain", once=True)
    assert store.read(BUCKET, "k").data == b"one"


def test_an_audit_record_finds_its_own_number(store: ObjectStore, s3: Any) -> None:
    assert audit.append(store, BUCKET, "c", {"outcome": "failed"}) == 1
    s3.put_object(Bucket=BUCKET, Key="c/00003.json", Body=b"{}")  # Somebody else's, just now.
    assert audit.append(store, BUCKET, "c", {"outcome": "succeeded"}) == 4


def test_a_staged_image_that_was_changed_is_not_published(s3: Any, work: steps.Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    staged = steps.annotate(work, pinned, scored)
    s3.put_object(Bucket=f"{BUCKET}-staging", Key=staged.name, Body=b"other")
    with pytest.raises(ObjectError, match="not the one that was staged"):
        steps.store(work, pinned, scored, staged, None)
    assert everything(s3, f"{BUCKET}-processed") == {}


def test_a_listing_goes_past_one_page(s3: Any, store: ObjectStore) -> None:
    for number in range(1005):
        s3.put_object(Bucket=BUCKET, Key=f"many/{number:05d}", Body=b"")
    assert sum(1 for _ in store.list(BUCKET, "many/")) == 1005
