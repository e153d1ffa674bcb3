"""The steps of a case as Airflow tasks.

A task collects the arguments of its step, calls the step, and returns JSON. The
object key is sealed in the run's conf, and each task opens it: no value that goes
between tasks holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    BaseXCom,
    TriggerRule,
    WeightRule,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import (
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
)

from xray.airflow import api, blocked, config, connections, forms
from xray.airflow.case import asking, assets, metrics, summaries, told
from xray.airflow.retry import RETRIES, TASK_DEFAULTS
from xray.airflow.unexpected import without_messages
from xray.case import (
    Decision,
    Pinned,
    Run,
    Scored,
    Source,
    Staged,
    Work,
    ending,
    hand_over,
    publish,
    requests,
    steps,
    take_over,
)
from xray.case.manifest import REVIEW
from xray.errors import PermanentError, SettingsError, StaleError
from xray.settings import Settings, case_settings

log = logging.getLogger(__name__)

JSON = dict[str, Any]
IN_QUARANTINE = (
    "Quarantined: text on the image could not be removed, so no anonymised copy was published. "
    "Decide on it in Required Actions, or on the page Waiting."
)
AFTER_CLASSIFY = ["annotate", "anonymize", "store"]
"""The tasks of a case that the run of its review's form does in place of the case's own run."""
REVIEW_TASK = "review"
"""The task of that form. In version 0.1.0, it was a task of the case's own run."""


def carried_pinned(context: Mapping[str, Any]) -> Pinned | None:
    """Return the result of *fetch*: in the params of a form's run, in an XCom of a case's run."""
    fetched = context["params"].get("pinned") or context["ti"].xcom_pull(task_ids="fetch")
    return Pinned.from_json(fetched) if fetched else None


def _settings(context: Mapping[str, Any], pinned: Pinned | None) -> Settings:
    """Return the settings of the case, which do not change once the object is pinned."""
    if pinned:
        return Settings.from_mapping(pinned.settings)
    params = context["params"]
    return config.settings({n: params[n] for n in case_settings() if params[n] is not None})


def _work(
    context: Mapping[str, Any], settings: Settings, pinned: Pinned | None, *, records: bool
) -> Work:
    params, ti = context["params"], context["ti"]
    was_cleared = ti.max_tries > RETRIES  # Clearing a task raises its maximum of tries.
    request = params.get("request")
    keyring = config.keyring()
    return Work(
        store=connections.object_store(),
        source=Source.from_conf(params, keyring),
        settings=settings,
        keyring=keyring,
        run=Run(
            run_id=ti.run_id,
            task=ti.task_id,
            try_number=ti.try_number,
            triggered_by=getattr(context["dag_run"], "triggering_user_name", None),
            reran_by=api.cleared_by(ti.run_id, ti.dag_id) if records and was_cleared else None,
        ),
        token=f"{ti.run_id}:{ti.task_id}:{ti.max_tries}",
        carried_id=pinned.case_id if pinned else params.get("case_id"),
        claim=request["claim"] if request else pinned.claim if pinned else 0,
        close_form=forms.close,
        request_to_pacs=connections.request_to_pacs,
    )


def build_work(
    context: Mapping[str, Any], pinned: Pinned | None = None, *, records: bool = False
) -> Work:
    """Return the case that a task works on.

    Args:
        context: the context of the task.
        pinned: the result of *fetch*; None in *fetch* itself.
        records: whether the task writes an audit record, for which it asks who reran the case.

    Raises:
        SettingsError: a Variable or a setting of the run is missing or wrong.
    """
    return _work(context, _settings(context, pinned), pinned, records=records)


def record_failed_case(context: Mapping[str, Any], error: BaseException | None = None) -> None:
    """Record a case that failed for good, remove what it left behind, and set the note of its run.

    This is also the failure callback of the DAG, for a case whose worker died. It changes nothing
    if the failed task has recorded the failure itself.
    """
    ti, reason, pinned = context["ti"], ending.describe(error)[0], None
    try:
        pinned = carried_pinned(context)
        try:
            settings = _settings(context, pinned)
        except SettingsError:
            settings = Settings()  # The settings are the failure, so the record holds none of them.
        work = _work(context, settings, pinned, records=True)
        is_form = ti.task_id == REVIEW_TASK and context["params"].get("request")
        if is_form and not requests.is_own(work, REVIEW):
            return  # The answer was refused, and the case goes on without this form.
        reason = ending.abandon(work, error, pinned)
    except Exception as failure:
        # Such as an outage of the store. The note still gives the reason of the case's failure.
        log.error(  # noqa: TRY400 - a traceback may quote the object key
            "The failure of the case was not recorded: %s", ending.describe(failure)[0]
        )
    metrics.failed(ti, error)
    api.set_note(ti.run_id, f"{ti.task_id} failed: {reason}", ti.dag_id)
    told.failed(ti, reason, pinned=pinned, by_task=error is not None)


@contextmanager
def records_failure() -> Iterator[None]:
    """Record a failure that ends the case, before Airflow handles it; for use as a decorator.

    An unexpected error reaches Airflow without its message.
    """
    with without_messages(), _recorded():
        yield


@contextmanager
def _recorded() -> Iterator[None]:
    try:
        yield
    except (AirflowSkipException, DownstreamTasksSkipped, TaskAwaitingInput):
        blocked.withdraw(get_current_context()["ti"])
        raise
    except BaseException as error:
        context = get_current_context()
        ti = context["ti"]
        if isinstance(error, StaleError):
            # A form is out of date: the case itself goes on, or has ended, without it.
            metrics.failed(ti, error)
            api.set_note(ti.run_id, str(error), ti.dag_id)
        elif isinstance(error, PermanentError) or ti.try_number > ti.max_tries:
            record_failed_case(context, error)
        else:
            blocked.tell(ti, error)
        raise
    else:
        blocked.withdraw(get_current_context()["ti"])


STEP_DEFAULTS: JSON = {
    **TASK_DEFAULTS,
    "execution_timeout": timedelta(minutes=10),
    # Finish cases before starting others: later steps have priority over earlier ones.
    "weight_rule": WeightRule.UPSTREAM,
}


@task(task_display_name="Fetch")
@records_failure()
def fetch() -> JSON:
    """Pin the object of the notification, and check that it is an image."""
    pinned = steps.fetch(build_work(get_current_context()))
    log.info(summaries.fetched(pinned))
    return pinned.to_json()


@task(task_display_name="Classify")
@records_failure()
def classify(pinned: JSON) -> JSON:
    """Score the risk of pneumonia and label it, and ask for a review if the settings want one."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image)
    scored = steps.classify(work, image)
    result, ti = hand_over(work, scored), context["ti"]
    asks = work.settings.wants_review(scored.label)
    unwanted = unwanted_steps(work.settings, scored.label)
    if asks or unwanted:
        # The task may end with an exception, and the result is there before anybody is told of it.
        ti.xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=result)
    waits = asks and asking.ask_for_review(ti, work, image, scored)
    log.info(summaries.classified(work, scored, waits=waits))
    if waits or unwanted:
        # Skipping them here saves the processes of their tasks.
        raise DownstreamTasksSkipped(tasks=AFTER_CLASSIFY if waits else unwanted)
    return result


def unwanted_steps(settings: Settings, label: str) -> list[str]:
    """Return the ids of the tasks that a case with this final ``label`` does not need."""
    return [] if settings.wants_anonymized(label) else ["anonymize"]


@task(task_display_name="Annotate")
@records_failure()
def annotate(pinned: JSON, scored: JSON, reviewed: JSON | None = None) -> JSON:
    """Print the risk on the image."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image)
    result = _final(context, work, scored, reviewed)
    # It may lack one if the task was cleared without *classify*, or if version 0.1.0 had asked.
    if _lacks_review(work, result) and asking.ask_for_review(context["ti"], work, image, result):
        log.info(summaries.WAITS)
        raise DownstreamTasksSkipped(tasks=AFTER_CLASSIFY[1:])
    staged = steps.annotate(work, image, result)
    log.info(summaries.annotated(result, staged))
    return hand_over(work, staged)


@task(task_display_name="Anonymise")
@records_failure()
def anonymize(pinned: JSON, scored: JSON, reviewed: JSON | None = None) -> JSON:
    """Redact the image if the policy asks for it; otherwise skip the task."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image)
    result = _final(context, work, scored, reviewed)
    if not work.settings.wants_anonymized(result.label):
        raise AirflowSkipException(
            f"The policy {work.settings.anonymize.value!r} asks for no anonymised copy of a case "
            f"labelled {result.label}."
        )
    staged = steps.anonymize(work, image, result)
    log.info(summaries.anonymized(staged))
    return hand_over(work, staged)


@task(
    task_display_name="Store",
    trigger_rule=TriggerRule.NONE_FAILED,
    # The inlet is that of fetch. It is here because every task with assets makes one more request.
    inlets=[assets.LANDING],
    outlets=[assets.PROCESSED, assets.ANONYMIZED, assets.QUARANTINE, assets.AUDIT],
)
@records_failure()
def store(
    pinned: JSON,
    scored: JSON,
    annotated: JSON,
    anonymized: JSON | None,
    reviewed: JSON | None = None,
) -> JSON:
    """Publish the results, write the audit record, and offer the form of a quarantined image."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image, records=True)
    result = _final(context, work, scored, reviewed)
    redacted = take_over(work, Staged, anonymized) if anonymized else None
    outcome = publish.store(work, image, result, take_over(work, Staged, annotated), redacted)
    log.info(summaries.stored(outcome))
    assets.record_event(context, work, outcome.decision)
    ti, waiting = context["ti"], None
    if outcome.decision == Decision.QUARANTINED:
        waiting = asking.offer_release(work, image, result)
        api.set_note(ti.run_id, f"{IN_QUARANTINE} Attempt {outcome.attempt}.", ti.dag_id)
    # Last, so that hardly any retry counts the attempt again.
    metrics.finished(work.source, image, result, outcome, redacted.redaction if redacted else None)
    told.published(ti, work, result, outcome)
    if waiting:
        told.waits(ti, work, waiting)
    return outcome.to_json()


def _final(context: Mapping[str, Any], work: Work, scored: JSON, reviewed: JSON | None) -> Scored:
    """Return the result of *classify*, or of the review after it.

    The form of version 0.1.0 was a task of the case's own run: it is gone, and its result is not.
    """
    result = take_over(work, Scored, reviewed or scored)
    if _lacks_review(work, result) and (earlier := context["ti"].xcom_pull(task_ids=REVIEW_TASK)):
        return take_over(work, Scored, earlier)
    return result


def _lacks_review(work: Work, scored: Scored) -> bool:
    """Return whether the settings want a review that there was not."""
    return scored.review is None and work.settings.wants_review(scored.label)
