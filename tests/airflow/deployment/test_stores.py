"""xray.airflow.deployment.stores: one test for each fault of the store, which says what to do"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.airflow.deployment.conftest import BUCKETS, announce, refuse
from xray.airflow.deployment.clients import s3_hook
from xray.airflow.deployment.stores import announcement_answer, answers, rights_answer
from xray.airflow.deployment.table import Answer, Mark
from xray.conditions import Conditions

OTHER_ARN = "arn:aws:sns:us-east-1:123456789012:others"


def named(found: Iterable[Answer], name: str) -> Answer:
    """The first answer of a name."""
    return next(answer for answer in found if answer.name == name)


def contents(s3: Any, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "a", "password": "b", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    (answer,) = answers(s3_hook(1).get_conn())
    assert answer.mark is Mark.PROBLEM
    assert "Check endpoint_url of xray_s3" in answer.sentence


def test_a_bucket_that_is_missing(deployed: Any) -> None:
    deployed.delete_bucket(Bucket=BUCKETS.manifests)
    found = list(answers(deployed))
    answer = named(found, f"bucket {BUCKETS.manifests}")
    assert answer.mark is Mark.PROBLEM
    assert "does not exist: run python -m xray setup" in answer.sentence
    assert "conditional writes" not in {answer.name for answer in found}


@pytest.mark.parametrize(
    ("operation", "verb"),
    [("ListObjectsV2", "listing"), ("GetObject", "reading from"), ("PutObject", "writing to")],
)
def test_a_right_that_is_missing(deployed: Any, operation: str, verb: str) -> None:
    refuse(deployed, operation, BUCKETS.processed)
    answer = named(answers(deployed), f"bucket {BUCKETS.processed}")
    assert answer.mark is Mark.PROBLEM
    assert f"{verb} {BUCKETS.processed}" in answer.sentence


def test_nothing_is_written_where_it_could_not_be_deleted(deployed: Any) -> None:
    for bucket, mark in ((BUCKETS.processed, Mark.PROBLEM), (BUCKETS.audit, Mark.LIMIT)):
        refuse(deployed, "DeleteObject", bucket)
        answer = rights_answer(deployed, bucket, may_keep=bucket == BUCKETS.audit)
        assert answer.mark is mark
        assert contents(deployed, bucket) == []


def test_nothing_is_written_to_a_bucket_with_object_lock(deployed: Any) -> None:
    bucket = BUCKETS.audit
    deployed.delete_bucket(Bucket=bucket)
    deployed.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    deployed.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    answer = named(answers(deployed), f"bucket {bucket}")
    assert answer.mark is Mark.UNKNOWN
    assert "Versions" not in deployed.list_object_versions(Bucket=bucket)


def test_the_landing_bucket_is_not_written_to(deployed: Any) -> None:
    refuse(deployed, "PutObject", BUCKETS.landing)
    assert named(answers(deployed), f"bucket {BUCKETS.landing}").mark is Mark.WELL
    refuse(deployed, "GetObject", BUCKETS.landing)
    assert named(answers(deployed), f"bucket {BUCKETS.landing}").mark is Mark.PROBLEM


def test_versions_of_manifests(deployed: Any) -> None:
    deployed.put_bucket_versioning(
        Bucket=BUCKETS.manifests, VersioningConfiguration={"Status": "Enabled"}
    )
    found = list(answers(deployed))
    answer = named(found, "versions of manifests")
    assert answer.mark is Mark.PROBLEM
    assert "switch versions off" in answer.sentence
    assert named(found, "conditional writes").mark is Mark.UNKNOWN
    listed = deployed.list_object_versions(Bucket=BUCKETS.manifests)
    assert "Versions" not in listed
    assert "DeleteMarkers" not in listed


@pytest.mark.parametrize(
    ("lacking", "mark"),
    [
        ("create_once", Mark.PROBLEM),
        ("compare_and_set", Mark.PROBLEM),
        ("conditional_delete", Mark.LIMIT),
    ],
)
def test_conditions_that_the_store_lacks(
    deployed: Any, monkeypatch: pytest.MonkeyPatch, lacking: str, mark: Mark
) -> None:
    names = ("create_once", "compare_and_set", "conditional_delete", "deleted_is_absent")
    found = Conditions(**{name: name != lacking for name in names})
    monkeypatch.setattr("xray.conditions.probe", lambda *_: found)
    assert named(answers(deployed), "conditional writes").mark is mark


def test_records_that_are_written_over(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, bucket = "records are written once", BUCKETS.audit
    assert named(answers(deployed), name).mark is Mark.WELL
    with monkeypatch.context() as patched:
        found = Conditions(False, True, True, True)
        patched.setattr("xray.conditions.probe", lambda *_: found)
        answer = named(answers(deployed), name)
    assert answer.mark is Mark.LIMIT
    assert f"Switch versions off for {bucket}" in answer.sentence
    deployed.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert named(answers(deployed), name).mark is Mark.UNKNOWN


def test_nothing_is_announced(deployed: Any) -> None:
    deployed.put_bucket_notification_configuration(
        Bucket=BUCKETS.landing, NotificationConfiguration={}
    )
    answer = announcement_answer(deployed, BUCKETS.landing)
    assert answer.mark is Mark.PROBLEM
    assert "run python -m xray setup" in answer.sentence


def test_a_target_whose_topic_is_not_visible(deployed: Any) -> None:
    announce(deployed, arn=OTHER_ARN)
    answer = announcement_answer(deployed, BUCKETS.landing)
    assert answer.mark is Mark.UNKNOWN
    assert OTHER_ARN in answer.sentence
    assert "--send" in answer.sentence


@pytest.mark.parametrize("code", ["NotImplemented", "AccessDenied"])
def test_announcements_that_cannot_be_read(deployed: Any, code: str) -> None:
    refuse(deployed, "GetBucketNotificationConfiguration", BUCKETS.landing, code)
    answer = announcement_answer(deployed, BUCKETS.landing)
    assert answer.mark is Mark.UNKNOWN
    assert "--send" in answer.sentence
