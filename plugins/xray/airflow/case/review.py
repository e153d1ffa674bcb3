"""A person's look at an Unsure case, in Airflow's own human-in-the-loop form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowSkipException

from xray.airflow.case.tasks import accounted_for, build_work
from xray.case import Pinned, Scored, review

BODY = """
![The annotated X-ray]({image})

{finding} Choose a label. Without an answer within {hours:g} hours the case stays *Unsure* and goes
on.
"""
BETWEEN = """\
The model gives a pneumonia risk of **{risk:.2%}**: neither under {normal_below:.2%} (*Normal*) nor
above {pneumonia_above:.2%} (*Pneumonia*)."""
REFUSED = "The model does not know such an image (**{refused}**), so its risk would mean nothing."


class ReviewOperator(HITLOperator):
    """Shows an Unsure case to a person, waits for the choice, and hands on the label chosen.

    While it waits it is in the state *awaiting input*: no worker and no triggerer holds it.

    Args:
        pinned, scored: what *fetch* and *classify* returned.
    """

    template_fields = (*HITLOperator.template_fields, "pinned", "scored")

    def __init__(self, *, pinned: Any, scored: Any, **kwargs: Any) -> None:
        super().__init__(
            subject="An unsure X-ray: which is it?",
            options=list(review.CHOICES),
            defaults=review.KEEP,
            # Each case's settings say it; this only tells Airflow that there is one.
            response_timeout=timedelta(days=1),
            **kwargs,
        )
        self.pinned = pinned
        self.scored = scored

    @accounted_for()
    def execute(self, context: Any) -> Any:
        """Show the case, and wait; skipped if the settings ask for no review."""
        pinned, scored = Pinned.from_json(self.pinned), Scored.from_json(self.scored)
        work = build_work(context, pinned)
        if not work.settings.wants_review(scored.label):
            raise AirflowSkipException(f"No review is asked for of a case labelled {scored.label}.")
        review.stage_preview(work, pinned, scored)
        settings = work.settings
        self.response_timeout = timedelta(hours=settings.review_hours)
        self.body = BODY.format(
            image=plugin_address("preview", work.source.bucket, work.case_id),
            finding=(REFUSED if scored.refused else BETWEEN).format(
                refused=scored.refused,
                risk=scored.risk,
                normal_below=settings.normal_below,
                pneumonia_above=settings.pneumonia_above,
            ),
            hours=settings.review_hours,
        )
        return super().execute(context)

    @accounted_for()
    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take the choice, and record it."""
        answer = super().execute_complete(context, dict(event))
        pinned, scored = Pinned.from_json(self.pinned), Scored.from_json(self.scored)
        (choice,) = answer["chosen_options"]
        by = answer["responded_by_user"]
        return review.record_review(
            build_work(context, pinned, records=True),
            scored,
            choice=choice,
            by=by["name"] if by else None,
            at=answer["responded_at"].isoformat(),
        ).to_json()


def plugin_address(what: str, bucket: str, case_id: str) -> str:
    """Where this package's plugin shows a case's picture, to whoever may see the DAG's runs."""
    base = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return f"{base}/xray/{what}/{bucket}/{case_id}"
