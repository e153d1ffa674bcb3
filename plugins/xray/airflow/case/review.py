"""A person's review of an Unsure case, in Airflow's own human-in-the-loop form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from xray.airflow.addresses import PREVIEW, picture_address
from xray.airflow.case.tasks import build_work, records_failure
from xray.case import Pinned, Scored, Work, hand_over, review, take_over

BODY = """
![The annotated X-ray]({image})

{finding} Choose a label. If nobody answers within {hours:g} hours, the case stays *Unsure* and
goes on.
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

    Args:
        pinned: the result of *fetch*.
        scored: the result of *classify*.
    """

    template_fields = (*HITLOperator.template_fields, "pinned", "scored")

    def __init__(self, *, pinned: Any, scored: Any, **kwargs: Any) -> None:
        super().__init__(
            subject="An unsure X-ray: which is it?",
            options=list(review.CHOICES),
            defaults=review.KEEP,
            # The settings of each case have their own timeout, which execute() sets.
            response_timeout=timedelta(days=1),
            **kwargs,
        )
        self.pinned = pinned
        self.scored = scored

    @records_failure()
    def execute(self, context: Any) -> Any:
        """Show the case and wait, unless the settings ask for no review: then skip the task."""
        pinned = Pinned.from_json(self.pinned)
        work = build_work(context, pinned)
        scored = take_over(work, Scored, self.scored)
        if not work.settings.wants_review(scored.label):
            raise AirflowSkipException(
                f"The settings ask for no review of a case labelled {scored.label}."
            )
        review.stage_preview(work, pinned, scored)
        self.response_timeout = timedelta(hours=work.settings.review_hours)
        self.body = _body(work, scored)
        return super().execute(context)

    @records_failure()
    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Apply and record the choice."""
        answer = super().execute_complete(context, dict(event))
        work = build_work(context, Pinned.from_json(self.pinned), records=True)
        (choice,) = answer["chosen_options"]
        user = answer["responded_by_user"]
        result = review.record_review(
            work,
            take_over(work, Scored, self.scored),
            choice=choice,
            by=user["name"] if user else None,
            at=answer["responded_at"].isoformat(),
        )
        return hand_over(work, result)


def _body(work: Work, scored: Scored) -> str:
    """Return the text of the form, in Markdown."""
    settings = work.settings
    return BODY.format(
        image=picture_address(PREVIEW, work.source.bucket, work.case_id),
        finding=(REFUSED if scored.refused else BETWEEN).format(
            refused=scored.refused,
            risk=settings.rounded(scored.risk),
            normal_below=settings.normal_below,
            pneumonia_above=settings.pneumonia_above,
        ),
        hours=settings.review_hours,
    )
