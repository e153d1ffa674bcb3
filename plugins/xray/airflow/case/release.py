"""A person's decision on a quarantined image, in Airflow's own human-in-the-loop form.

A case with a quarantined image ends. The decision is a run of a DAG of its own, which may wait for
any length of time: it holds no worker, and it does not count as an active case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, TriggerRule

from xray.airflow import api, config
from xray.airflow.addresses import QUARANTINE, picture_address
from xray.airflow.case.boxes import Box, FormError, parse_boxes
from xray.airflow.case.tasks import build_work
from xray.airflow.unexpected import without_messages
from xray.case import Outcome, Pinned, Scored, Source, Work, quarantine, take_over

BODY = """
![The quarantined X-ray]({image})

Text on this image could not be removed, or the check after its removal was not conclusive. The
image is published to **{bucket}**, where nothing may name a person. The annotated image is
published already.

- **{release}**: there is no text on the image.
- **{mask}**: remove the boxes first. The rulers help to find them: *left, top, right, bottom* in
  pixels, with a semicolon between two boxes, such as `0, 900, 310, 1000; 40, 20, 200, 60`.
- **{withhold}**: nothing is published. Clear this task to be asked again.

If the boxes cannot be used, this form opens again, and the note of the run says why.
"""
BOXES = {"boxes": Param(None, type=["null", "string"], description="left, top, right, bottom; …")}
"""The entries of the form beside the choice."""


class QuarantineOperator(TriggerDagRunOperator):
    """Asks for a decision: starts a run of ``xray_release`` for a case that was quarantined.

    Args:
        pinned, scored, reviewed, outcome: the results of *fetch*, *classify*, *review*, *store*.
    """

    template_fields = ("pinned", "scored", "reviewed", "outcome")

    def __init__(
        self, *, pinned: Any, scored: Any, reviewed: Any, outcome: Any, **kwargs: Any
    ) -> None:
        super().__init__(
            trigger_dag_id=config.RELEASE_DAG,
            logical_date=None,
            skip_when_already_exists=True,
            # The review is skipped unless the settings ask for it.
            trigger_rule=TriggerRule.NONE_FAILED,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.pinned = pinned
        self.scored = scored
        self.reviewed = reviewed
        self.outcome = outcome

    @without_messages()
    def execute(self, context: Any) -> Any:
        """Start the run, once for each attempt of the case."""
        outcome = Outcome.from_json(self.outcome)
        self.trigger_run_id = f"{context['ti'].run_id}__{outcome.attempt}"
        keyring = config.keyring()
        self.conf = {
            **Source.from_conf(context["params"], keyring).to_conf(keyring),
            "pinned": self.pinned,
            "scored": self.reviewed or self.scored,
        }
        return super().execute(context)


class ReleaseOperator(HITLOperator):
    """Shows a quarantined image to a person, waits for the decision, and carries it out.

    The DAG file passes :data:`BOXES` as ``params``: Airflow accepts an operator's own params only
    as an argument in the DAG file.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="A quarantined X-ray: may it be published?",
            options=list(quarantine.RELEASE_CHOICES),
            **kwargs,
        )

    @without_messages()
    def execute(self, context: Any) -> Any:
        """Show the image and wait."""
        work, _, _ = _case(context)
        self.body = BODY.format(
            image=picture_address(QUARANTINE, work.source.bucket, work.case_id),
            bucket=work.buckets.anonymized,
            release=quarantine.RELEASE,
            mask=quarantine.MASK,
            withhold=quarantine.WITHHOLD,
        )
        return super().execute(context)

    @without_messages()
    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> Any:
        """Carry out and record the decision; if the boxes cannot be used, open the form again."""
        answer = super().execute_complete(context, dict(event))
        (choice,) = answer["chosen_options"]
        user = answer["responded_by_user"]
        try:
            boxes = _boxes(choice, answer["params_input"].get("boxes") or "")
        except FormError as error:
            return self._ask_again(context, error)
        work, pinned, scored = _case(context)
        decision = quarantine.release(
            work,
            pinned,
            scored,
            choice=choice,
            boxes=boxes,
            by=user["name"] if user else None,
            at=answer["responded_at"].isoformat(),
        )
        api.set_note(context["ti"].run_id, decision, dag_id=config.RELEASE_DAG)
        return decision

    def _ask_again(self, context: Any, error: FormError) -> Any:
        """Open the form again, in the same try of the task.

        Airflow removes the answer from the form and keeps the form's text as it is, so the note
        of the run says what was wrong.
        """
        note = f"Nothing was decided, and the form is open again. {error}"
        self.log.warning("%s", note)
        api.set_note(context["ti"].run_id, note, dag_id=config.RELEASE_DAG)
        return self.execute(context)


def _boxes(choice: str, text: str) -> list[Box]:
    """Return the boxes of an answer.

    Raises:
        FormError: the boxes cannot be read, or they do not go with the choice.
    """
    boxes = parse_boxes(text)
    if boxes and choice != quarantine.MASK:
        raise FormError(
            f"{choice!r} takes no boxes: leave them out, or choose {quarantine.MASK!r}."
        )
    if not boxes and choice == quarantine.MASK:
        raise FormError(f"{choice!r} needs boxes: type at least one.")
    return boxes


def _case(context: Mapping[str, Any]) -> tuple[Work, Pinned, Scored]:
    """Return the case that the run is about."""
    params = context["params"]
    pinned = Pinned.from_json(params["pinned"])
    work = build_work(context, pinned)
    return work, pinned, take_over(work, Scored, params["scored"])
