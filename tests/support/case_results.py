"""The results of the tasks of a case, as Airflow's database has them."""

from __future__ import annotations

from typing import Any

from xray.case import Decision

FETCHED = {"case_id": "c" * 32, "object": "o" * 32, "patient": None, "settings": {}}
CLASSIFIED = {"label": "Pneumonia", "risk": 0.99, "refused": None, "model": "1.0", "sealed": "…"}


def outcome(decision: Decision) -> dict[str, Any]:
    """The result of *store*."""
    return {
        "case_id": "c" * 32,
        "label": "Pneumonia",
        "risk": 0.99,
        "decision": decision.value,
        "attempt": 2,
        "claim": 1,
        "schema": 1,
    }
