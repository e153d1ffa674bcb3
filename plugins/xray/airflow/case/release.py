"""A person's decision on a quarantined image, in Airflow's own human-in-the-loop form.

A case with such an image ends; what is left to decide is a run of a DAG of its
own, which waits as long as it takes and holds no worker and no place among the
active cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, TriggerRule

from xray.airflow import api, config
from xray.airflow.case.review import plugin_address
from xray.airflow.case.tasks import build_work
from xray.case import Outcome, Pinned, Scored, Work, quarantine
from xray.errors import TransientError

BODY = """
![The quarantined X-ray]({image})

Text on this image could not be removed, or it could not be told whether it was. What is published
goes to **{bucket}**, where nothing may name a person. The annotated image is published already.

- **{release}**: there is no text on it.
- **{mask}**: remove the boxes first, which the rulers help to find: *left, top, right, bottom* in
  pixels, one box after the other with a semicolon, such as `0, 900, 310, 1000; 40, 20, 200, 60`.
- **{withhold}**: nothing is published. Clear this task to be asked again.
"""
BOXES = {"boxes": Param(None, type=["null", "string"], description="left, top, right, bottom; …")}
"""What the form asks for beside the choice."""
_BOX = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*")


class QuarantineOperator(TriggerDagRunOperator):
    """Asks for a decision: starts a run of ``xray_release`` for a case that was quarantined.

    Args:
        pinned, scored, reviewed, outcome: what the steps before returned.
    """

    template_fields = ("pinned", "scored", "reviewed", "outcome")

    def __init__(
        self, *, pinned: Any, scored: Any, reviewed: Any, outcome: Any, **kwargs: Any
    ) -> None:
        super().__init__(
            trigger_dag_id=config.RELEASE_DAG,
            logical_date=None,
            skip_when_already_exists=True,
            # A review that nobody asked for is skipped.
            trigger_rule=TriggerRule.NONE_FAILED,
            openlineage_inject_parent_info=False,
            **kwargs,
        )
        self.pinned = pinned
        self.scored = scored
        self.reviewed = reviewed
        self.outcome = outcome

    def execute(self, context: Any) -> Any:
        """Start it; an attempt of a case asks once."""
        outcome = Outcome.from_json(self.outcome)
        self.trigger_run_id = f"{context['ti'].run_id}__{outcome.attempt}"
        self.conf = {
            **build_work(context, Pinned.from_json(self.pinned)).source.to_json(),
            "pinned": self.pinned,
            "scored": self.reviewed or self.scored,
        }
        return super().execute(context)


class ReleaseOperator(HITLOperator):
    """Shows a quarantined image to a person, waits, and does as the person decided.

    Its ``params`` are :data:`BOXES`: an operator's own can be given only where it is made.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="A quarantined X-ray: may it be published?",
            options=list(quarantine.RELEASE_CHOICES),
            **kwargs,
        )

    def execute(self, context: Any) -> Any:
        """Show it, and wait."""
        work, _, _ = _case(context)
        self.body = BODY.format(
            image=plugin_address("quarantine", work.source.bucket, work.case_id),
            bucket=work.buckets.anonymized,
            release=quarantine.RELEASE,
            mask=quarantine.MASK,
            withhold=quarantine.WITHHOLD,
        )
        return super().execute(context)

    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> str:
        """Do it, and record who decided."""
        answer = super().execute_complete(context, dict(event))
        (choice,) = answer["chosen_options"]
        by = answer["responded_by_user"]
        work, pinned, scored = _case(context)
        boxes = boxes_in(answer["params_input"].get("boxes") or "")
        if bool(boxes) is not (choice == quarantine.MASK):
            raise TransientError(
                f"{quarantine.MASK!r} takes boxes, and no other choice does: the form opens again."
            )
        decision = quarantine.release(
            work,
            pinned,
            scored,
            choice=choice,
            boxes=boxes,
            by=by["name"] if by else None,
            at=answer["responded_at"].isoformat(),
        )
        api.set_note(context["ti"].run_id, decision, dag_id=config.RELEASE_DAG)
        return decision


def boxes_in(text: str) -> list[tuple[int, int, int, int]]:
    """The boxes that a person typed: ``left, top, right, bottom; …``.

    Raises:
        TransientError: one is no box; the form opens again.
    """
    boxes = []
    for part in filter(str.strip, text.split(";")):
        found = _BOX.fullmatch(part)
        left, top, right, bottom = map(int, found.groups()) if found else (0, 0, 0, 0)
        if not (left < right and top < bottom):
            raise TransientError(
                "A box is left, top, right, bottom in pixels, with right and bottom the larger "
                "ones: the form opens again."
            )
        boxes.append((left, top, right, bottom))
    return boxes


def _case(context: Mapping[str, Any]) -> tuple[Work, Pinned, Scored]:
    """The case that the run is about."""
    params = context["params"]
    pinned, scored = Pinned.from_json(params["pinned"]), Scored.from_json(params["scored"])
    return build_work(context, pinned), pinned, scored
