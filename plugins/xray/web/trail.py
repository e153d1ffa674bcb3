"""The audit trail of a case in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xray import audit
from xray.airflow.index.rows import in_percent
from xray.case import Decision
from xray.errors import SettingsError
from xray.settings import Settings

Record = Mapping[str, Any]
DECISIONS = {
    Decision.PUBLISHED: "The annotated image was published.",
    Decision.ANONYMIZED: "The annotated and the anonymised image were published.",
    Decision.QUARANTINED: "The annotated image was published. The anonymised one is in quarantine, "
    "because text on it could not be removed.",
    Decision.SUPERSEDED: "Nothing was published: a newer upload, or a later case of the same "
    "upload, has taken over.",
    Decision.DELETED: "Nothing was published: the results were deleted on request meanwhile.",
}
"""What each decision means."""


@dataclass(frozen=True, slots=True)
class Event:
    """A record in words."""

    at: datetime
    attempt: int
    title: str
    sentences: list[str]
    outcome: str


def in_words(trail: Iterable[Record]) -> list[Event]:
    """Return the records of a case in words, oldest first."""
    return [
        Event(
            at=datetime.fromisoformat(record["recorded_at"]),
            attempt=record["attempt"],
            title=_TITLES[record["outcome"]],
            sentences=[*_DETAILS[record["outcome"]](record), *_started(record)],
            outcome=record["outcome"],
        )
        for record in trail
        if record["outcome"] in _TITLES
    ]


def finding(record: Record) -> str:
    """Return the label and the risk of a record, such as ``Pneumonia, 99 %``."""
    return _finding(record, record["scored"])


def _finding(record: Record, scored: Record) -> str:
    try:
        settings = Settings.from_mapping(record["settings"] or {})
    except SettingsError:  # Another version has written the record.
        settings = Settings()
    risk = scored.get("refused") or in_percent(settings.rounded(scored["risk"]))
    return f"{scored['label']}, {risk}"


def _succeeded(record: Record) -> list[str]:
    sentences = [f"{finding(record)}.", DECISIONS[Decision(record["decision"])]]
    if shadow := record["scored"].get("shadow"):
        said = shadow.get("problem") or f"{_finding(record, shadow)} ({shadow['model']})."
        sentences.append(f"The shadow model: {said}")
    if redaction := record.get("redaction"):
        sentences.append(_redaction(redaction))
    return [*sentences, *_sent(record)]


def _sent(record: Record) -> list[str]:
    """Return how many results went to the PACS, if any did."""
    count = len(record.get("sent", ()))
    results = "result was" if count == 1 else "results were"
    return [f"{count} DICOM {results} sent to the PACS."] if count else []


def _redaction(redaction: Mapping[str, Any]) -> str:
    count = redaction["regions"]
    removed = f"{count} {'region' if count == 1 else 'regions'} with text removed"
    checked = "no text was left" if redaction["verified"] else "text may be left"
    return f"Anonymised: {removed}; {checked} according to the check."


def _failed(record: Record) -> list[str]:
    reason = record.get("error") or "The reason is not known."
    return [f"{record['run']['task']}: {reason}", *_sent(record)]


def _reviewed(record: Record) -> list[str]:
    review = record["scored"].get("review") or {}
    return [f"{_person(review.get('by'))} chose {review.get('choice')!r}: {finding(record)}."]


def _expired(record: Record) -> list[str]:
    return [f"Nobody has answered in time: {finding(record)}."]


def _released(record: Record) -> list[str]:
    release = record["release"]
    boxes = len(release["boxes"])
    masked = f" with {boxes} {'box' if boxes == 1 else 'boxes'} masked" if boxes else ""
    agreed = release.get("agreed")
    both = f"{_person(agreed['by'])} and {_person(release['by'])}" if agreed else ""
    return [
        f"{both or _person(release['by'])} chose {release['choice']!r}{masked}.",
        DECISIONS[Decision(record["decision"])],
        *_sent(record),
    ]


def _agreed(record: Record) -> list[str]:
    answer = record["answer"]
    return [f"{_person(answer['by'])} chose {answer['choice']!r}: another person has to agree."]


def _refused(record: Record) -> list[str]:
    answer = record["answer"]
    return [
        f"{_person(answer['by'])} chose {answer['choice']!r}. {record['error']}",
        *_sent(record),
    ]


def _withdrawn(record: Record) -> list[str]:
    return [
        f"The form for the {record['request']['kind']} was withdrawn: the case was run again, or "
        "another case of the same object has taken over."
    ]


def _deleted(record: Record) -> list[str]:
    deletion = record["deletion"]
    asked = f" {_person(deletion['by'])} has asked for it." if deletion["by"] else ""
    return [f"{deletion['reason']}{asked}"]


def _person(name: str | None) -> str:
    return name or "Nobody"


def _started(record: Record) -> list[str]:
    """Return who has started or rerun the attempt that a record ends."""
    if record["outcome"] not in (audit.SUCCEEDED, audit.FAILED):
        return []
    run = record["run"]
    if run["reran_by"]:
        return [f"Run again by {run['reran_by']}."]
    return [f"Started by {run['triggered_by']}."] if run["triggered_by"] else []


_TITLES = {
    audit.SUCCEEDED: "Finished",
    audit.FAILED: "Failed",
    audit.REVIEWED: "Reviewed",
    audit.EXPIRED: "Not reviewed",
    audit.RELEASED: "Decided",
    audit.REFUSED: "Answer refused",
    audit.AGREED: "Agreed",
    audit.WITHDRAWN: "Form withdrawn",
    audit.DELETED: "Deleted",
}
_DETAILS: dict[str, Callable[[Record], list[str]]] = {
    audit.SUCCEEDED: _succeeded,
    audit.FAILED: _failed,
    audit.REVIEWED: _reviewed,
    audit.EXPIRED: _expired,
    audit.RELEASED: _released,
    audit.REFUSED: _refused,
    audit.AGREED: _agreed,
    audit.WITHDRAWN: _withdrawn,
    audit.DELETED: _deleted,
}
