"""The requests of the page *Cases* that are measured, by what they ask for.

The names say what is rare among the cases of :mod:`bench.index_rows`, and what no case is like.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from bench.index_rows import BACKFILLED, CHANGED, DAYS, MODEL, OLD_MODEL, RARE_MODEL, Known
from xray.case import Decision

_NORMAL, _UNSURE, _BACKFILL = {"label": "Normal"}, {"label": "Unsure"}, {"origin": "backfill"}
_FAILED, _FINISHED = {"state": "failed"}, {"state": "finished"}
_PUBLISHED, _ANONYMISED, _DELETED = (
    {"decision": one.value} for one in (Decision.PUBLISHED, Decision.ANONYMIZED, Decision.DELETED)
)
_PRESENT, _FORMER, _RARE = ({"model": name} for name in (MODEL, OLD_MODEL, RARE_MODEL))
_DAY = (40, 39)
"""The day of which cases are asked for: it began and ended so many days ago."""


def requests_of(known: Known, now: datetime) -> dict[str, str]:
    """Return the queries of the addresses, by what they ask for.

    Args:
        known: a case and the ends of two pages.
        now: the time of the newest case.
    """
    queries = {
        **_pages(known),
        **_values(),
        **_names(known),
        **_times(now),
        **_values_together(known),
        **_values_and_times(now),
    }
    return {name: f"?{urlencode(query)}" if query else "" for name, query in queries.items()}


def _pages(known: Known) -> dict[str, dict[str, str]]:
    return {
        "gallery": {},
        "a page in the middle": {"before": known.half},
        "a page near the end": {"before": known.end},
        "label: Normal, a page near the end": {**_NORMAL, "before": known.end},
    }


def _values() -> dict[str, dict[str, str]]:
    return {
        "state: finished": _FINISHED,
        "state: waiting": {"state": "waiting"},
        "state: failed": _FAILED,
        "state: running": {"state": "running"},
        "label: Normal": _NORMAL,
        "label: Unsure": _UNSURE,
        "decision: published and anonymised": _ANONYMISED,
        "decision: deleted": _DELETED,
        "waits: review": {"waits": "review"},
        "waits: release": {"waits": "release"},
        "model: the present one": _PRESENT,
        "model: the former one": _FORMER,
        "model: a rare one": _RARE,
        "model: an unknown one": {"model": "none"},
        "origin: ceph": {"origin": "ceph"},
        "origin: manual, rare": {"origin": "manual"},
        "origin: an unknown one": {"origin": "none"},
    }


def _names(known: Known) -> dict[str, dict[str, str]]:
    unknown = "0" * 32
    return {
        "case id: one digit": {"case_id": known.case_id[:1]},
        "case id: two digits": {"case_id": known.case_id[:2]},
        "case id: eight digits": {"case_id": known.case_id[:8]},
        "case id: whole": {"case_id": known.case_id},
        "case id: an unknown one": {"case_id": unknown[:12]},
        "object": {"object": known.object},
        "object: an unknown one": {"object": unknown},
        "patient": {"patient": known.patient},
        "patient: an unknown one": {"patient": unknown},
    }


def _times(now: datetime) -> dict[str, dict[str, str]]:
    return {
        "time: the last hour": {"since": _ago(now, 1 / 24)},
        "time: one day": _day(now),
        "time: before the first case": {"until": _ago(now, DAYS + 1)},
    }


def _values_together(known: Known) -> dict[str, dict[str, str]]:
    return {
        "label and state: Normal, failed": {**_NORMAL, **_FAILED},
        "label and decision: Normal, published": {**_NORMAL, **_PUBLISHED},
        "label and decision: Normal, deleted; none": {**_NORMAL, **_DELETED},
        "state and decision: failed, published; none": {**_FAILED, **_PUBLISHED},
        "state and waits: finished, review; none": {**_FINISHED, "waits": "review"},
        "label and model: Normal, the former": {**_NORMAL, **_FORMER},
        "label and model: Normal, a rare one": {**_NORMAL, **_RARE},
        "origin and model: ceph, a rare one": {"origin": "ceph", **_RARE},
        "label and origin: Normal, backfill": {**_NORMAL, **_BACKFILL},
        "origin and model: backfill, the present; none": {**_BACKFILL, **_PRESENT},
        "decision and model: published, the present; none": {**_PUBLISHED, **_PRESENT},
        "label, decision and model: Normal, published, the present; none": {
            **_NORMAL,
            **_PUBLISHED,
            **_PRESENT,
        },
        "label, decision and origin: Normal, published, backfill": {
            **_NORMAL,
            **_PUBLISHED,
            **_BACKFILL,
        },
        "label and case id: Unsure, one digit": {**_UNSURE, "case_id": known.case_id[:1]},
    }


def _values_and_times(now: datetime) -> dict[str, dict[str, str]]:
    old = {"until": _ago(now, CHANGED)}
    return {
        "label and time: Pneumonia, one day": {"label": "Pneumonia", **_day(now)},
        "state and time: failed, earlier": {**_FAILED, **old},
        "model and time: the present, earlier; none": {**_PRESENT, **old},
        "origin and time: backfill, later; none": {
            **_BACKFILL,
            "since": _ago(now, BACKFILLED - 1),
        },
        "label, state, model and time: Normal, finished, the present, earlier; none": {
            **_NORMAL,
            **_FINISHED,
            **_PRESENT,
            **old,
        },
    }


def _day(now: datetime) -> dict[str, str]:
    first, last = _DAY
    return {"since": _ago(now, first), "until": _ago(now, last)}


def _ago(now: datetime, days: float) -> str:
    return (now - timedelta(days=days)).isoformat()
