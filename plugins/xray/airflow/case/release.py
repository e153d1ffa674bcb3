"""A person's decision on a quarantined image, in Airflow's own human-in-the-loop form.

A case with a quarantined image ends. The decision is a run of a DAG of its own, which may wait for
any length of time: it holds no worker, and it does not count as an active case.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

from xray.airflow import api, config, forms
from xray.airflow.addresses import QUARANTINE, case_address, picture_addresses
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.case import assets, metrics, summaries, told
from xray.airflow.case.boxes import Box, FormError, parse_boxes
from xray.airflow.case.tasks import build_work
from xray.airflow.unexpected import without_messages
from xray.case import Decision, Pinned, Scored, Work, ending, quarantine, take_over
from xray.case.manifest import RELEASE, Request
from xray.errors import PermanentError, StaleError

log = logging.getLogger(__name__)

BODY = """
![The quarantined X-ray]({preview})

[With rulers]({preview}) · [Full size]({full}) · [Greys stretched]({stretched}) · [The case]({case})

Text on this image could not be removed, or the check after its removal was not conclusive. A
released image goes to **{bucket}**, where nothing may name a person. The annotated image is
published already.

- **{release}**: there is no text on the image.
- **{mask}**: remove the boxes first. The rulers help to find them: *left, top, right, bottom* in
  pixels, with a semicolon between two boxes, such as `0, 900, 310, 1000; 40, 20, 200, 60`.
- **{withhold}**: nothing is published. Clear this task to be asked again.

If the boxes cannot be used, this form opens again, and the note of the run says why. The answer
counts for this image alone (claim {claim}, SHA-256 `{sha256:.16}…`).
"""
AGREEMENT = "{name} chose {choice!r}: another person has to agree."
"""The note of a form that waits for the second of two people."""
BOXES = {"boxes": Param(None, type=["null", "string"], description="left, top, right, bottom; …")}
"""The entries of the form beside the choice."""


class ReleaseOperator(HITLOperator):
    """Shows a quarantined image to a person, waits for the decision, and carries it out.

    The DAG file passes :data:`BOXES` as ``params``: Airflow accepts an operator's own params only
    as an argument in the DAG file.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            subject="A quarantined X-ray: may it be published?",
            options=list(quarantine.RELEASE_CHOICES),
            outlets=[assets.ANONYMIZED],
            **kwargs,
        )

    @without_messages()
    @tells_if_blocked()
    def execute(self, context: Any) -> Any:
        """Show the image and wait."""
        work, pinned, scored = _case(context)
        with noted(context):
            request = quarantine.open_request(work, pinned, scored)
            quarantine.show(work, request)
        self.body = BODY.format(
            **picture_addresses(QUARANTINE, work.source.bucket, request),
            case=case_address(work.case_id),
            sha256=request.sha256,
            bucket=work.buckets.anonymized,
            release=quarantine.RELEASE_AS_IT_IS,
            mask=quarantine.MASK,
            withhold=quarantine.WITHHOLD,
        )
        return super().execute(context)

    @without_messages()
    @tells_if_blocked()
    def execute_complete(self, context: Any, event: Mapping[str, Any]) -> Any:
        """Carry out and record the decision; if the boxes cannot be used, open the form again."""
        answer = super().execute_complete(context, dict(event))
        (choice,) = answer["chosen_options"]
        user = answer["responded_by_user"]
        try:
            boxes = _boxes(choice, answer["params_input"].get("boxes") or "")
        except FormError as error:
            return self._ask_again(context, f"Nothing was decided. {error}")
        work, pinned, scored = _case(context)
        with noted(context):
            decision = quarantine.release(
                work,
                pinned,
                scored,
                _request(context, work, pinned, scored),
                choice=choice,
                boxes=boxes,
                by=user["name"] if user else None,
                at=answer["responded_at"].isoformat(),
                account=user["id"] if user else None,
            )
        if decision is None:
            return self._ask_again(context, AGREEMENT.format(name=user["name"], choice=choice))
        assets.record_event(context, work, None if decision == Decision.QUARANTINED else decision)
        log.info(summaries.decided(decision, len(boxes)))
        api.set_note(context["ti"].run_id, decision, dag_id=config.RELEASE_DAG)
        metrics.decided(work.source, pinned, scored, decision, masked=len(boxes))
        forms.open_next(work.source.bucket, RELEASE)
        return decision

    def _ask_again(self, context: Any, reason: str) -> Any:
        """Open the form again, in the same try of the task.

        Airflow removes the answer from the form and keeps the form's text as it is, so the note
        of the run says why.
        """
        note = f"{reason} The form is open again."
        self.log.warning("The form is open again: its note says why.")
        api.set_note(context["ti"].run_id, note, dag_id=config.RELEASE_DAG)
        return self.execute(context)


def end_failed_release(context: Mapping[str, Any]) -> None:
    """End the claim of a release that has failed for good; the failure callback of the DAG."""
    ti = context["ti"]
    metrics.failed(ti, None)
    work, pinned, _ = _case(context)
    ending.end_claim(work)
    told.failed(ti, ending.describe(None)[0], pinned=pinned, by_task=False)


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
    """Return the case that the run is about.

    How many people have to agree is what the deployment asks for now: the case may be older.
    """
    params = context["params"]
    pinned = Pinned.from_json(params["pinned"])
    work = build_work(context, pinned)
    two = config.settings().two_to_release
    work = replace(work, settings=replace(work.settings, two_to_release=two))
    return work, pinned, take_over(work, Scored, params["scored"])


def _request(context: Mapping[str, Any], work: Work, pinned: Pinned, scored: Scored) -> Request:
    """Return what the person was asked. The confs of version 0.1.0 do not hold it."""
    request = context["params"].get("request")
    if request:
        return Request.from_json(request)
    return quarantine.open_request(work, pinned, scored)


@contextmanager
def noted(context: Mapping[str, Any]) -> Iterator[None]:
    """Count and tell a failure for good; put the sentence of a refused answer into the note."""
    try:
        yield
    except Exception as error:
        ti = context["ti"]
        if isinstance(error, PermanentError) or ti.try_number > ti.max_tries:
            metrics.failed(ti, error)
            if not isinstance(error, StaleError):
                pinned = Pinned.from_json(context["params"]["pinned"])
                told.failed(ti, ending.describe(error)[0], pinned=pinned, by_task=True)
        if isinstance(error, StaleError):
            api.set_note(ti.run_id, str(error), dag_id=config.RELEASE_DAG)
        raise
