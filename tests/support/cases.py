"""Cases on the embedded S3 server: their steps, and what they leave in the buckets."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.support import KEYRING, RUN
from xray.case import Outcome, Pinned, Scored, Source, Staged, Work, publish, steps
from xray.errors import ObjectError
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
            raise ObjectError(f"The store forbids writing to {bucket}.")
        return super().put(bucket, key, data, **options)
