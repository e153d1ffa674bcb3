"""Cases on the embedded S3 server: their steps, and what they leave in the buckets."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import KEYRING, RUN
from xray.case import Outcome, Pinned, Scored, Source, Staged, Work, publish, steps
from xray.case.manifest import REVIEW, Manifest, Request
from xray.case.requests import Waiting, ask
from xray.errors import ForbiddenError
from xray.image import decode
from xray.redaction import certificate_problem
from xray.settings import Settings
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
"""An object key that names a patient."""


def case(store: ObjectStore, source: Source, **changes: Any) -> Work:
    """A case at its step *store*, with ``changes`` to its fields."""
    work = Work(
        store=store,
        source=source,
        settings=Settings(),
        keyring=KEYRING,
        run=RUN,
        token="run-1:store:6",
    )
    return dataclasses.replace(work, **changes)


def upload(s3: Any, store: ObjectStore, data: bytes) -> Work:
    """Upload an image, and return its case."""
    etag = s3.put_object(Bucket=BUCKET, Key=KEY, Body=data)["ETag"].strip('"')
    return case(store, Source(bucket=BUCKET, key=KEY, etag=etag, event_time="2026-01-01T00:00:00Z"))


def run_steps(work: Work) -> tuple[Pinned, Scored, Staged, Staged | None]:
    """Run all steps before *store*, and return its arguments."""
    pinned = steps.fetch(work)
    work = carried(work, pinned)
    scored = steps.classify(work, pinned)
    annotated = steps.annotate(work, pinned, scored)
    wanted = work.settings.wants_anonymized(scored.label)
    return pinned, scored, annotated, steps.anonymize(work, pinned, scored) if wanted else None


def carried(work: Work, pinned: Pinned) -> Work:
    """The case as a task after *fetch* sees it."""
    return dataclasses.replace(work, carried_id=pinned.case_id, claim=pinned.claim)


def pinned_again(work: Work) -> Pinned:
    """The result of *fetch*, as the run of a form has it in its conf."""
    content = work.store.get(work.source.bucket, work.source.key)
    width, height = decode(content.data).pixels.size
    return Pinned(
        case_id=work.case_id,
        version_id=content.version_id,
        etag=content.etag,
        sha256=content.sha256,
        size=len(content.data),
        modified=content.modified.isoformat(),
        format="JPEG",
        width=width,
        height=height,
        settings=work.settings.to_mapping(),
        claim=work.claim,
    )


def let_wait(
    store: ObjectStore, key: str, number: int, *, kind: str = REVIEW, hours: float | None = None
) -> Waiting:
    """Let a case of an object that need not be there wait for a person.

    Args:
        store: the store.
        key: the object key.
        number: makes the content of the object.
        kind: what the person is asked.
        hours: after which time the case stops waiting; None for never.
    """
    source, now = Source(bucket=BUCKET, key=key, etag=f"{number:032x}"), datetime.now(UTC)
    work = case(store, source, claim=1)
    pinned = Pinned(
        case_id=work.case_id,
        version_id=None,
        etag=str(source.etag),
        sha256=f"{number:064x}",
        size=1,
        modified=now.isoformat(),
        format="JPEG",
        width=640,
        height=480,
        settings=Settings().to_mapping(),
        claim=1,
    )
    scored = Scored(risk=0.7, label="Unsure", model="m")
    request = Request(
        kind=kind,
        case_id=work.case_id,
        claim=1,
        sha256=pinned.sha256,
        since=now.isoformat(),
        until=None if hours is None else (now + timedelta(hours=hours)).isoformat(),
    )
    work.manifest.change(lambda _: Manifest(claim=1, case_id=work.case_id))
    ask(work, pinned, scored, request)
    return Waiting(source=source, pinned=pinned, scored=scored, request=request)


def run_case(work: Work) -> Outcome:
    """Run all steps."""
    pinned, *results = run_steps(work)
    return publish.store(carried(work, pinned), pinned, *results)


def objects(s3: Any, bucket: str) -> dict[str, tuple[bytes, str, dict[str, str]]]:
    """Bytes, content type and metadata of each object of a bucket, by key."""
    contents = {}
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        answer = s3.get_object(Bucket=bucket, Key=item["Key"])
        contents[item["Key"]] = (answer["Body"].read(), answer["ContentType"], answer["Metadata"])
    return contents


def published(s3: Any) -> list[Any]:
    """The objects of the bucket of annotated images, and of that of anonymised images."""
    return [objects(s3, f"{BUCKET}-{name}") for name in ("processed", "anonymized")]


def anonymized_image(s3: Any) -> tuple[str, tuple[bytes, str, dict[str, str]]]:
    """The key and the object of the one anonymised image, which has a certificate beside it."""
    found = objects(s3, f"{BUCKET}-anonymized")
    key, beside = sorted(found)
    assert beside == f"{key}.json"
    document, kind, metadata = found[beside]
    assert (kind, metadata) == ("application/json", {})
    assert certificate_problem(found[key][0], document, KEYRING.secrets) is None
    return key, found[key]


def original(s3: Any) -> bytes:
    """The uploaded image."""
    data: bytes = s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
    return data


class RefusingStore(ObjectStore):
    """A store that refuses to write to the buckets whose names end with ``refused``."""

    refused: tuple[str, ...] = ()

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> str:
        """Write an object, or refuse to."""
        if bucket.endswith(self.refused):
            raise ForbiddenError(f"The store forbids writing to {bucket}.")
        return super().put(bucket, key, data, **options)
