"""A person's review of an Unsure case, in Airflow's own human-in-the-loop form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from xray.airflow import api, config, forms
from xray.airflow.addresses import REVIEW as REVIEW_PICTURE
from xray.airflow.addresses import picture_addresses
from xray.airflow.case import told
from xray.airflow.case.tasks import build_work, records_failure
from xray.case import Pinned, Scored, Work, hand_over, requests, review, take_over
from xray.case.manifest import REVIEW, Request
from xray.case.requests import Waiting
from xray.errors import StaleError

BODY = """
![The annotated X-ray]({preview})

[Full size]({full}) · [Greys stretched]({stretched})

{finding} Choose a label. If nobody answers within {hours:g} hours, the case stays *Unsure* and
goes on. The answer counts for this image alone (claim {claim}, SHA-256 `{sha256:.16}…`).
"""
WAITS = "Waits for a review: see Required Actions, or the page Waiting."
AFTER_REVIEW = ["annotate", "anonymize", "store", "quarantine"]
"""The tasks of a case that the form's run does in place of the case's own run."""
BETWEEN = """\
The model gives a pneumonia risk of **{risk:.0%}**: neither below {normal_below:.2%} (*Normal*) nor
above {pneumonia_above:.2%} (*Pneumonia*)."""
REFUSED = (
    "The model does not know images like this one (**{refused}**), so that its risk means nothing."
)


class ReviewRequestOperator(BaseOperator):
    """Lets an Unsure case wait for a review, and ends its run, so that it holds up no other case.

    The form, a run of ``xray_review``, takes the case further. The task is skipped if the settings
    ask for no review.

    Args:
        pinned: the result of *fetch*.
        scored: the result of *classify*.
    """

    template_fields = ("pinned", "scored")

    def __init__(self, *, pinned: Any, scored: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pinned = pinned
        self.scored = scored

    @records_failure()
    def execute(self, context: Any) -> Any:
        """Ask for a review, and skip the rest of the run."""
        pinned = Pinned.from_json(self.pinned)
        work = build_work(context, pinned)
        scored = take_over(work, Scored, self.scored)
        if not work.settings.wants_review(scored.label):
            raise AirflowSkipException(
                f"The settings ask for no review of a case labelled {scored.label}."
            )
        try:
            request = review.ask_for_review(work, pinned, scored)
        except StaleError:
            return None  # The case goes on to its end, where it is recorded as superseded.
        waiting = Waiting(source=work.source, pinned=pinned, scored=scored, request=request)
        forms.offer(waiting)
        api.set_note(context["ti"].run_id, WAITS)
        told.waits(context["ti"], work, waiting)
        context["ti"].xcom_push(key=config.WAITS_FOR, value=REVIEW)
        raise DownstreamTasksSkipped(tasks=AFTER_REVIEW)

    @records_failure()
    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Apply the answer to a form that version 0.1.0 has opened, in this run."""
        work = build_work(context, Pinned.from_json(self.pinned), records=True)
        scored = take_over(work, Scored, self.scored)
        return hand_over(work, review.record_review(work, scored, None, **_choice(event)))


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
        if requests.waiting_request(work, REVIEW) is None:
            raise StaleError("Nothing was asked: the case does not wait for a review any more.")
        left = datetime.fromisoformat(request.until or request.since) - datetime.now(UTC)
        if left <= timedelta():
            at = datetime.now(UTC).isoformat()
            kept = review.record_review(work, scored, request, choice=review.KEEP, by=None, at=at)
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
            return hand_over(work, review.record_review(work, scored, request, **_choice(answer)))
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
        sha256=request.sha256,
        finding=(REFUSED if scored.refused else BETWEEN).format(
            refused=scored.refused,
            risk=settings.rounded(scored.risk),
            normal_below=settings.normal_below,
            pneumonia_above=settings.pneumonia_above,
        ),
        hours=settings.review_hours,
    )
