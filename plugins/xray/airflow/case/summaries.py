"""What the tasks of a case say in their logs: one line each, which names nobody.

A line holds what many cases have in common: a rounded risk, a size in kB, a small number. An exact
risk or a hash would lead from the log to the anonymised image.
"""

from __future__ import annotations

from xray.case import Decision, Outcome, Pinned, Scored, Staged, Work

MANY = 10
"""From this number on, regions and boxes are not counted exactly."""
WAITS = "The case waits for a review, and its run ends here."


def fetched(pinned: Pinned) -> str:
    """Return what *fetch* has done: ``Fetched a JPEG of 1024 x 768 pixels, 312 kB.``"""
    size = f"{pinned.width} x {pinned.height} pixels, {_kilobytes(pinned.size)}"
    return f"Fetched a {pinned.format} of {size}."


def classified(work: Work, scored: Scored, *, waits: bool) -> str:
    """Return what *classify* has found: ``Classified: Pneumonia, 99 %, model 1.2.``

    Args:
        work: the case.
        scored: the result.
        waits: whether the case waits for a review.
    """
    finding = f"refused as {scored.refused}" if scored.refused else _percent(work, scored)
    line = f"Classified: {scored.label}, {finding}, model {scored.model}."
    return f"{line} {WAITS}" if waits else line


def reviewed(scored: Scored) -> str:
    """Return what came of a review: ``Reviewed: Normal, chosen by a person.``"""
    by_a_person = bool(scored.review and scored.review["by"])
    how = "chosen by a person" if by_a_person else "nobody has answered in time"
    return f"Reviewed: {scored.label}, {how}."


def annotated(scored: Scored, staged: Staged) -> str:
    """Return what *annotate* has done: ``Annotated with the label Normal, 290 kB.``"""
    return f"Annotated with the label {scored.label}, {_kilobytes(staged.size)}."


def anonymized(staged: Staged) -> str:
    """Return what *anonymize* has done: how much text was removed, and what the check says."""
    redaction = staged.redaction or {}
    removed = f"{_number(redaction.get('regions', 0), 'region')} of text removed"
    if staged.quarantined:
        return f"Anonymised: {removed}, but text may be left: the image is quarantined."
    return f"Anonymised: {removed}, the check found no text."


def stored(outcome: Outcome) -> str:
    """Return how the attempt has ended: ``Stored: published and anonymised, attempt 1.``"""
    nothing = outcome.decision in (Decision.SUPERSEDED, Decision.DELETED)
    beginning = "Stored nothing" if nothing else "Stored"
    return f"{beginning}: {outcome.decision}, attempt {outcome.attempt}."


def decided(decision: Decision, masked: int) -> str:
    """Return what a person has decided on a quarantined image."""
    return f"Decided: {decision}, {_number(masked, 'box', 'boxes')} masked."


def _percent(work: Work, scored: Scored) -> str:
    return f"{100 * work.settings.rounded(scored.risk):.0f} %"


def _kilobytes(size: int) -> str:
    return f"{max(1, round(size / 1000))} kB"


def _number(count: int, one: str, many: str | None = None) -> str:
    number = "no" if count == 0 else f"{MANY} or more" if count >= MANY else str(count)
    return f"{number} {one if count == 1 else many or one + 's'}"
