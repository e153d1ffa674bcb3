"""Cases that began before an upgrade end after it

``values_before_manifests.json`` holds what the version before manifests wrote for one case: the
conf of its run, the results of its tasks as Airflow kept them, and its audit record. The image of
the case is ``image_before_manifests.jpeg``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import KEYRING
from tests.support.cases import BUCKET, KEY, anonymized_image, case, objects
from xray import audit
from xray.case import Pinned, Scored, Source, Staged, Work, hand_over, publish, steps, take_over
from xray.errors import PermanentError, SettingsError
from xray.storage import ObjectStore

BEFORE = json.loads(Path(__file__).with_name("values_before_manifests.json").read_text())
IMAGE = Path(__file__).with_name("image_before_manifests.jpeg")


@pytest.fixture
def work(s3: Any, store: ObjectStore) -> Work:
    """The case, in a task of this version."""
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=IMAGE.read_bytes())
    source = Source.from_conf(BEFORE["conf"], KEYRING)
    pinned = Pinned.from_json(BEFORE["fetch"])
    return case(store, source, carried_id=pinned.case_id, claim=pinned.claim)


def test_the_conf_gives_the_same_case(work: Work) -> None:
    assert work.source.key == KEY
    assert work.source.case_id(KEYRING) == work.case_id == BEFORE["case_id"]


def test_a_case_that_was_fetched_is_taken_to_its_end(s3: Any, work: Work) -> None:
    pinned = Pinned.from_json(BEFORE["fetch"])
    scored = steps.classify(work, pinned)
    annotated = steps.annotate(work, pinned, scored)
    anonymized = steps.anonymize(work, pinned, scored)
    outcome = publish.store(work, pinned, scored, annotated, anonymized)
    assert (outcome.case_id, outcome.decision) == (BEFORE["case_id"], "published and anonymised")
    assert objects(s3, f"{BUCKET}-staging") == {}


def test_a_case_whose_images_were_staged_is_taken_to_its_end(s3: Any, work: Work) -> None:
    scored, annotated, anonymized = (
        take_over(work, kind, BEFORE[task])
        for kind, task in ((Scored, "classify"), (Staged, "annotate"), (Staged, "anonymize"))
    )
    pinned = Pinned.from_json(BEFORE["fetch"])
    outcome = publish.store(work, pinned, scored, annotated, anonymized)
    assert {**outcome.to_json(), "claim": 0} == {**BEFORE["store"], "claim": 0, "schema": 1}
    key, _ = anonymized_image(s3)
    assert key == BEFORE["record"]["outputs"][0]["key"]


def test_a_case_that_had_ended_is_run_again(s3: Any, work: Work) -> None:
    """Its outputs are in no manifest; only its audit record has the key of an old pseudonym."""
    record = BEFORE["record"]
    text = json.dumps(record, indent=2, ensure_ascii=False)
    s3.put_object(Bucket=work.buckets.audit, Key=f"{work.case_id}/00001.json", Body=text.encode())
    old = "0123/4567.jpeg"
    record = {**record, "outputs": [{**record["outputs"][0], "key": old}], "number": 2}
    del record["digest"]
    text = json.dumps({**record, "digest": audit.digest(record)})
    for output in BEFORE["record"]["outputs"]:
        s3.put_object(Bucket=output["bucket"], Key=output["key"], Body=b"of the earlier version")
    s3.put_object(Bucket=work.buckets.anonymized, Key=old, Body=b"under an old pattern")
    s3.put_object(Bucket=work.buckets.audit, Key=f"{work.case_id}/00002.json", Body=text.encode())

    fresh = dataclasses.replace(work, token="run-1:fetch:13")
    pinned = steps.fetch(fresh)
    again = dataclasses.replace(work, token="run-1:store:13", claim=pinned.claim)
    scored = steps.classify(again, pinned)
    annotated = steps.annotate(again, pinned, scored)
    publish.store(again, pinned, scored, annotated, steps.anonymize(again, pinned, scored))
    assert set(objects(s3, work.buckets.anonymized)) == {
        output["key"]
        for output in BEFORE["record"]["outputs"]
        if output["bucket"] == work.buckets.anonymized
    }
    anonymized_image(s3)
    *_, last = audit.records(work.store, work.buckets.audit, work.case_id)
    assert (last["schema"], last["attempt"]) == (2, 2)


def test_what_a_later_version_has_written_is_refused(work: Work) -> None:
    pinned = Pinned.from_json(BEFORE["fetch"])
    scored = take_over(work, Scored, BEFORE["classify"])
    with pytest.raises(PermanentError, match="has the schema 2"):
        Pinned.from_json({**pinned.to_json(), "schema": 2})
    with pytest.raises(PermanentError, match="has the schema 2"):
        take_over(work, Scored, {**hand_over(work, scored), "schema": 2})
    with pytest.raises(SettingsError, match="has the schema 2"):
        Source.from_conf({**work.source.to_conf(KEYRING), "schema": 2}, KEYRING)
