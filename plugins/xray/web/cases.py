"""The page *Cases*: the newest cases first, filters, and what happened in the last hours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi.responses import HTMLResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints
from sqlalchemy.exc import SQLAlchemyError

from xray.airflow.index import queries
from xray.airflow.index.queries import HOURS, Filter, Summary, utc
from xray.airflow.index.rows import in_percent
from xray.airflow.index.table import State
from xray.case import Decision
from xray.case.manifest import RELEASE
from xray.settings import Label
from xray.web.dead_letters import day_count
from xray.web.pages import in_words, page

log = logging.getLogger(__name__)

PER_PAGE = 50
"""Cases on one page."""
NO_INDEX = (
    "The index of the cases cannot be read. If this Airflow is new, run `airflow db migrate` with "
    "the settings of config/airflow.env; otherwise, see whether its database answers."
)
STATES = {
    State.RUNNING: "under way",
    State.WAITING: "waits for a review",
    State.FINISHED: "finished",
    State.FAILED: "failed",
}
"""What the page calls each state."""
_WITH_OUTPUTS = (Decision.PUBLISHED, Decision.ANONYMIZED, Decision.QUARANTINED)
"""The decisions after which a case has live outputs, until a later case replaces them."""
COUNTERS = (
    ("running", "under way", {"state": State.RUNNING.value}),
    ("waiting", "wait for a review", {"state": State.WAITING.value}),
    ("finished", "finished", {"state": State.FINISHED.value}),
    ("anonymised", "anonymised", {"decision": Decision.ANONYMIZED.value}),
    ("quarantined", "quarantined", {"decision": Decision.QUARANTINED.value}),
    ("failed", "failed", {"state": State.FAILED.value}),
)
"""Each counter, its name, and the filter that shows its cases."""


def _cursor(text: str | None) -> str | None:
    if text is not None:
        time, _, case_id = text.partition("~")
        if not datetime.fromisoformat(time).tzinfo or len(case_id) > 32:
            raise ValueError("not the end of a page")
    return text


def _with_zone(time: datetime | None) -> datetime | None:
    """Take a time without a zone, which a browser sends, for one in UTC."""
    return time.replace(tzinfo=UTC) if time and not time.tzinfo else time


_Empty = BeforeValidator(lambda value: value or None)  # A form sends its empty fields, too.
_Time = Annotated[datetime | None, _Empty, AfterValidator(_with_zone)]
_Name = Annotated[Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,64}$")] | None, _Empty]
_Digits = Annotated[str, StringConstraints(pattern="^[0-9a-f]{1,32}$")]
_Hash = Annotated[Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] | None, _Empty]


class Chosen(BaseModel):
    """The query of the page's address."""

    state: Annotated[State | None, _Empty] = None
    label: Annotated[Label | None, _Empty] = None
    decision: Annotated[Decision | None, _Empty] = None
    waits: Annotated[Literal["review", "release"] | None, _Empty] = None
    model: _Name = None
    origin: _Name = None
    case_id: Annotated[_Digits | None, _Empty] = None
    object: _Hash = None
    patient: _Hash = None
    since: _Time = None
    until: _Time = None
    before: Annotated[str | None, _Empty, AfterValidator(_cursor)] = None

    def filter(self) -> Filter:
        """Return which cases are shown."""
        return Filter(**self.model_dump(exclude={"before"}))

    def address(self, **changes: Any) -> str:
        """Return the address of the page with changes of the query."""
        values = self.model_dump(mode="json", exclude_none=True) | changes
        return "?" + urlencode({name: value for name, value in values.items() if value})


def show(chosen: Chosen, *, images: bool, may_start: bool) -> HTMLResponse:
    """Return the page.

    Args:
        chosen: the query of its address.
        images: whether the user may see identified images.
        may_start: whether the user may start cases.
    """
    now = datetime.now(UTC)
    before = None
    if chosen.before:
        time, _, case_id = chosen.before.partition("~")
        before = datetime.fromisoformat(time), case_id
    try:
        with queries.database() as connection:
            rows = queries.newest(connection, chosen.filter(), before, PER_PAGE + 1)
            summary = queries.summary(connection, now)
            queued = queries.queued(connection)
    except SQLAlchemyError as error:
        log.warning("The index of the cases cannot be read (%s).", type(error).__name__)
        return page("cases.html", 503, problem=NO_INDEX, chosen=chosen)
    last = rows[PER_PAGE - 1] if len(rows) > PER_PAGE else None
    return page(
        "cases.html",
        200,
        problem="",
        chosen=chosen,
        images=images,
        may_start=images and may_start,
        chosen_any=any(asdict(chosen.filter()).values()),
        cases=[shown(row, now) for row in rows[:PER_PAGE]],
        older=chosen.address(before=f"{utc(last.received).isoformat()}~{last.case_id}")
        if last
        else "",
        queued=queued,
        dead_letters=day_count.text(),
        counters=_counters(summary),
        summary=summary,
        capped=summary.cases >= queries.SUMMED_UP,
        hours=_bars(summary.hours),
        hour_texts=[f"{HOURS - number} to {HOURS - number - 1} h ago" for number in range(HOURS)],
        risks=_bars(summary.risks),
        risk_texts=[f"{10 * number} to {10 * number + 10} %" for number in range(queries.BINS)],
        states=STATES,
        labels=list(Label),
        decisions=list(Decision),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What pages say of a row of the index."""

    id: str
    bucket: str
    has_thumbnail: bool
    state: str
    outcome: str
    replaced: bool
    label: str | None
    finding: str
    received: datetime
    age: str
    seconds: float | None
    attempt: int | None
    origin: str
    model: str | None


def shown(row: Any, now: datetime) -> Shown:
    """Return what pages say of a row of the index."""
    received = utc(row.received)
    running = row.state == State.RUNNING
    seconds = None
    if row.started and (row.ended or running):
        end = now if running else utc(row.ended)
        seconds = max(0.0, (end - utc(row.started)).total_seconds())
    outcome = STATES[State(row.state)]
    if row.state == State.FINISHED and row.decision:
        outcome = row.decision
    if row.waits == RELEASE:
        outcome = f"{outcome}, waits for a release"
    return Shown(
        id=row.case_id,
        bucket=row.bucket,
        has_thumbnail=row.decision in _WITH_OUTPUTS and not row.replaced,
        state=row.state,
        outcome=outcome,
        replaced=row.replaced and row.decision not in (Decision.SUPERSEDED, Decision.DELETED),
        label=row.label,
        finding=row.refused or ("" if row.risk is None else in_percent(row.risk)),
        received=received,
        age=in_words(now - received),
        seconds=seconds,
        attempt=row.attempt,
        origin=row.origin,
        model=row.model,
    )


def _counters(summary: Summary) -> list[dict[str, Any]]:
    return [
        {"name": name, "count": summary.counts[key], "address": "?" + urlencode(query)}
        for key, name, query in COUNTERS
    ]


def _bars(counts: Sequence[int]) -> list[dict[str, float]]:
    """Return the bars of a chart that is 100 units high, from the left."""
    most = max([*counts, 1])
    return [
        {"number": number, "count": count, "height": round(100 * count / most, 1)}
        for number, count in enumerate(counts)
    ]
