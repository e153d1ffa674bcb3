"""xray.case.ending, on an S3 server"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support import RUN
from tests.support.cases import (
    BUCKET,
    RefusingStore,
    anonymized_image,
    objects,
    published,
    run_case,
    run_steps,
)
from xray import audit
from xray.case import Work, ending, publish, steps
from xray.errors import ForbiddenError, ImageError, ObjectError, SettingsError, TransientError
from xray.storage import ObjectStore


def test_a_case_that_cannot_publish_all_publishes_nothing(s3: Any, work: Work) -> None:
    store = RefusingStore(s3)
    work = dataclasses.replace(work, store=store)
    ready = run_steps(work)
    store.refused = ("-processed",)
    with pytest.raises(ForbiddenError) as caught:
        publish.store(work, *ready)
    assert published(s3) == [{}, {}], "also while the case waits for the right"
    ending.abandon(work, caught.value, ready[0])
    assert published(s3) == [{}, {}]
    assert objects(s3, f"{BUCKET}-staging") == {}


class CrashingStore(ObjectStore):
    """A store that fails once, when a certificate is written."""

    failed = False

    def put(self, bucket: str, key: str, data: bytes, **options: Any) -> str:
        """Write an object; fail after the first certificate."""
        etag = super().put(bucket, key, data, **options)
        if key.endswith(".jpeg.json") and not self.failed:
            self.failed = True
            raise TransientError("The store is away.")
        return etag


@pytest.mark.parametrize("retried", [True, False])
def test_a_case_that_ends_between_the_certificate_and_the_image(
    s3: Any, work: Work, retried: bool
) -> None:
    work = dataclasses.replace(work, store=CrashingStore(s3))
    ready = run_steps(work)
    with pytest.raises(TransientError) as caught:
        publish.store(work, *ready)
    (certificate,) = objects(s3, f"{BUCKET}-anonymized")
    assert certificate.endswith(".json"), "no image is without a certificate"
    if retried:
        publish.store(work, *ready)
        key, _ = anonymized_image(s3)
        assert certificate == f"{key}.json"
    else:
        ending.abandon(work, caught.value, ready[0])
        assert published(s3) == [{}, {}]


def test_a_rerun_that_fails_leaves_what_was_published(s3: Any, work: Work) -> None:
    run_case(work)
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


def test_the_first_reason_recorded_for_a_try_stays(s3: Any, work: Work) -> None:
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
    store = RefusingStore(s3)
    work = dataclasses.replace(work, store=store)
    pinned, *_ = run_steps(work)
    store.refused = ("-audit",)
    with pytest.raises(ForbiddenError, match="forbids"):
        ending.abandon(work, None, pinned)
    assert objects(s3, f"{BUCKET}-staging") == {}
