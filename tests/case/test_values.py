"""xray.case.values"""

from __future__ import annotations

import json

from xray.audit import SCHEMA_FILE
from xray.case import Decision, Outcome, Work, steps


def test_values_between_steps_are_json_and_name_no_patient(work: Work) -> None:
    pinned = steps.fetch(work)
    scored = steps.classify(work, pinned)
    staged = steps.annotate(work, pinned, scored)
    said = json.dumps([pinned.to_json(), scored.to_json(), staged.to_json()])
    for part in ("Ada", "Ashgrove", "1957", "PNEUMONIA/"):
        assert part not in said
    assert type(pinned).from_json(json.loads(json.dumps(pinned.to_json()))) == pinned


def test_an_outcome_travels_as_json() -> None:
    outcome = Outcome(
        case_id="a" * 32, label="Normal", risk=0.1, decision=Decision.PUBLISHED, attempt=1
    )
    travelled = json.loads(json.dumps(outcome.to_json()))
    assert travelled["decision"] == "published"
    assert Outcome.from_json(travelled) == outcome
    assert isinstance(Outcome.from_json(travelled).decision, Decision)


def test_the_audit_schema_knows_every_decision() -> None:
    schema = json.loads(SCHEMA_FILE.read_text())
    assert schema["properties"]["decision"]["enum"] == list(Decision)
