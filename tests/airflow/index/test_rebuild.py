"""xray.airflow.index.rebuild: the rows of cases as the audit trail and the manifests tell them"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import KEYRING
from tests.support.cases import BUCKET, KEY, case, let_wait
from xray import audit
from xray.airflow.index import rebuild
from xray.case import Buckets, Decision, Source, Work, ending
from xray.case.manifest import RELEASE, REVIEW
from xray.case.work import erase_trail, record
from xray.errors import ObjectError
from xray.storage import ObjectStore

BUCKETS = Buckets(BUCKET)
SOURCE = Source(bucket=BUCKET, key=KEY, etag="an-etag", event_time="2026-01-01T00:00:00Z")
SCORED = {"risk": 0.98765, "label": "Pneumonia", "model": "1.0", "refused": None}


def rows(store: ObjectStore) -> dict[str, dict[str, Any]]:
    return {
        case_id: {**new, **values}
        for case_id, values, new in rebuild.found(store, BUCKETS, KEYRING)
    }


def succeed(work: Work, decision: Decision = Decision.ANONYMIZED) -> None:
    """Record the end of a case."""
    record(work, audit.SUCCEEDED, scored=SCORED, decision=decision, outputs=[])


def test_a_finished_case(store: ObjectStore) -> None:
    work = case(store, SOURCE)
    succeed(work)
    (row,) = rows(store).values()
    assert (row["state"], row["decision"], row["attempt"]) == ("finished", Decision.ANONYMIZED, 1)
    assert (row["label"], row["risk"], row["model"]) == ("Pneumonia", 0.99, "1.0")
    assert row["object"] == work.source.index_hashes(KEYRING, "(?P<patient>.)")["object"]
    assert row["patient"]
    assert (row["bucket"], row["origin"]) == (BUCKET, work.source.origin)
    assert row["received"] <= row["ended"]
    assert KEY not in str(row)


def test_a_failed_case(store: ObjectStore) -> None:
    ending.abandon(case(store, SOURCE), ObjectError("The object is gone."), None)
    (row,) = rows(store).values()
    assert (row["state"], row.get("label")) == ("failed", None)


def test_a_deleted_case_names_nobody(store: ObjectStore) -> None:
    work = case(store, SOURCE)
    succeed(work)
    erase_trail(work, "a token", "A request.")
    (row,) = rows(store).values()
    assert (row["decision"], row["object"], row["patient"]) == (Decision.DELETED, None, None)


@pytest.mark.parametrize("kind", [REVIEW, RELEASE])
def test_a_case_that_waits(store: ObjectStore, kind: str) -> None:
    waiting = let_wait(store, KEY, 1, kind=kind)
    found = rows(store)
    if kind == REVIEW:
        row = found[waiting.request.case_id]
        assert (row["state"], row["waits"]) == ("waiting", "review")
        assert row["label"] == waiting.scored.label
    else:
        assert found == {}, "its attempt is not on record yet"


def test_a_case_without_an_end_is_left_to_its_run(store: ObjectStore) -> None:
    record(case(store, SOURCE), audit.REVIEWED)
    assert rows(store) == {}
