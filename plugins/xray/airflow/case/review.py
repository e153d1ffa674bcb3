"""A person's review of an Unsure case, in Airflow's own human-in-the-loop form."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from xray.airflow import forms
from xray.airflow.addresses import REVIEW as REVIEW_PICTURE
from xray.airflow.addresses import case_address, picture_addresses
from xray.airflow.case import summaries
from xray.airflow.case.tasks import build_work, records_failure
from xray.case import Pinned, Scored, Work, hand_over, requests, review, take_over
from xray.case.manifest import REVIEW, Request
from xray.errors import StaleError

log = logging.getLogger(__name__)

BODY = """
![The annotated X-ray]({preview})

[Full size]({full}) · [Greys stretched]({stretched}) · [The case]({case})

{finding} Choose a label. If nobody answers within {hours:g} hours, the case stays *Unsure* and
goes on. The answer counts for this image alone (claim {claim}, SHA-256 `{sha256:.16}…`).
"""
BETWEEN = """\
The model gives a pneumonia risk of **{risk:.0%}**: neither below {normal_below:.2%} (*Normal*) nor
above {pneumonia_above:.2%} (*Pneumonia*)."""
REFUSED = (
    "The model does not know images like this one (**{refused}**), so that its risk means nothing."
)


class ReviewOperator(HITLOperator):
    """Shows an Unsure case to a person, waits for the choice, and returns the label chosen.

    While it waits, the task is in the state *awaiting input*: no worker and no triggerer holds it.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="An unsure X-ray: which is it?",
            options=list(review.CHOICES),
            defaults=review.KEEP,
            # The settings of each case have their own timeout, which execute() sets.
            response_timeout=timedelta(days=1),
            **kwargs,
        )

    @records_failure()
    def execute(self, context: Any) -> Any:
        """Show the case and wait until its time is over."""
        work, scored, request = _case(context)
        # A case that is asked for again has more time than the conf of its form says.
        waiting = requests.waiting_request(work, REVIEW)
        if waiting is None:
            raise StaleError("Nothing was asked: the case does not wait for a review any more.")
        left = datetime.fromisoformat(waiting.until or waiting.since) - datetime.now(UTC)
        if left <= timedelta():
            at = datetime.now(UTC).isoformat()
            kept = review.record_review(work, scored, request, choice=review.KEEP, by=None, at=at)
            log.info(summaries.reviewed(kept))
            return hand_over(work, kept)
        self.response_timeout = left
        self.body = _body(work, scored, request)
        return super().execute(context)

    @records_failure()
    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Apply and record the choice, and open the next form."""
        answer = super().execute_complete(context, dict(event))
        work, scored, request = _case(context, records=True)
        try:
            reviewed = review.record_review(work, scored, request, **_choice(answer))
            log.info(summaries.reviewed(reviewed))
            return hand_over(work, reviewed)
        finally:
            forms.open_next(work.source.bucket, REVIEW)


def _case(context: Mapping[str, Any], *, records: bool = False) -> tuple[Work, Scored, Request]:
    """Return the case that the run is about, and what the person is asked."""
    params = context["params"]
    work = build_work(context, Pinned.from_json(params["pinned"]), records=records)
    return work, take_over(work, Scored, params["scored"]), Request.from_json(params["request"])


def _choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choice in an answer, who made it and when."""
    (choice,) = answer["chosen_options"]
    user = answer["responded_by_user"]
    return {
        "choice": choice,
        "by": user["name"] if user else None,
        "at": answer["responded_at"].isoformat(),
    }


def _body(work: Work, scored: Scored, request: Request) -> str:
    """Return the text of the form, in Markdown."""
    settings = work.settings
    return BODY.format(
        **picture_addresses(REVIEW_PICTURE, work.source.bucket, request),
        case=case_address(work.case_id),
        sha256=request.sha256,
        finding=(REFUSED if scored.refused else BETWEEN).format(
            refused=scored.refused,
            risk=settings.rounded(scored.risk),
            normal_below=settings.normal_below,
            pneumonia_above=settings.pneumonia_above,
        ),
        hours=settings.review_hours,
    )
