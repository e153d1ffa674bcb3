"""xray.airflow.index.rows: what the index says of a case after each end of its run"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.case_results import CLASSIFIED, FETCHED, outcome
from xray.airflow.index import rows
from xray.case import Decision

AT = datetime(2026, 1, 2, tzinfo=UTC)


def results(decision: Decision) -> dict[str, Any]:
    return {"fetch": FETCHED, "classify": CLASSIFIED, "store": outcome(decision)}


@pytest.mark.parametrize("decision", [d for d in Decision if d is not Decision.DELETED])
def test_a_finished_case_has_its_decision(decision: Decision) -> None:
    row = rows.ended(results(decision), AT)
    assert (row["state"], row["decision"], row["attempt"]) == ("finished", decision, 2)
    assert (row["label"], row["risk"], row["model"]) == ("Pneumonia", 0.99, "1.0")
    assert row["waits"] == ("release" if decision is Decision.QUARANTINED else None)
    assert row["replaced"] is (decision is Decision.SUPERSEDED)
    assert row["object"] == "o" * 32
    assert "patient" not in row
    assert "settings" not in row


def test_a_case_without_a_stored_result_waits_for_its_review() -> None:
    row = rows.ended({"fetch": FETCHED, "classify": CLASSIFIED, "waits_for": "review"}, AT)
    assert (row["state"], row["waits"], row["label"]) == ("waiting", "review", "Pneumonia")
    assert "decision" not in row


def test_a_run_that_a_person_has_ended_has_no_outcome() -> None:
    ended = {"state": "finished", "ended": AT, "waits": None}
    assert rows.ended({}, AT) == ended
    assert rows.ended({"fetch": FETCHED}, AT) == {**ended, "object": "o" * 32}


def test_a_failed_case_keeps_the_decision_of_its_earlier_attempt() -> None:
    row = rows.failed({"fetch": FETCHED}, AT)
    assert row == {"state": "failed", "ended": AT, "waits": None, "object": "o" * 32}


def test_a_decision_of_a_person_ends_the_waiting() -> None:
    assert rows.released("quarantined") == {"decision": "quarantined", "waits": None}


def test_the_note_is_the_outcome_in_a_sentence() -> None:
    row = rows.ended(results(Decision.ANONYMIZED), AT)
    assert rows.sentence(row) == "Pneumonia, 99 %, published and anonymised"
    refused = {**row, "label": "Unsure", "refused": "upside down", "decision": "published"}
    assert rows.sentence(refused) == "Unsure, upside down, published"
    assert rows.sentence({"decision": "quarantined", "waits": None}) == "quarantined"
