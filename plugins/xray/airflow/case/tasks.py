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
    Param,
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
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.case import metrics, told
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
from xray.case.manifest import RELEASE, REVIEW
from xray.case.requests import Waiting
from xray.errors import PermanentError, SettingsError, StaleError
from xray.settings import Settings, case_settings

log = logging.getLogger(__name__)

JSON = dict[str, Any]
IN_QUARANTINE = (
    "Quarantined: text on the image could not be removed, so no anonymised copy was published. "
    "Decide on it in Required Actions, or on the page Waiting."
)


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
        is_form = ti.task_id == "review" and context["params"].get("request")
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


def _param(default: Any, **schema: Any) -> Param:
    """Return a param with the schema of an older draft of JSON Schema.

    Airflow checks the schemas of all params when a run is started and in each of its tasks. That of
    the newest draft would take more than twice the time.
    """
    return Param(default, **{"$schema": "http://json-schema.org/draft-07/schema#"}, **schema)


SOURCE_PARAMS: JSON = {
    "bucket": _param(
        config.bucket(), type="string", minLength=3, description="The bucket of the image"
    ),
    "key": _param(
        None,
        type=["null", "string"],
        maxLength=1024,
        description="The key of the image, typed by hand. Airflow keeps a typed key as it is, in "
        "its database and its audit log: if the key names a patient, use xray_backfill instead",
    ),
    "case_id": _param(
        None,
        type=["null", "string"],
        pattern="^[0-9a-f]{32}$",
        description="The id of the case, from the listener or a job",
    ),
    "sealed": _param(
        None,
        type=["null", "string"],
        description="The sealed key of the image, from the listener or a job, in place of a key",
    ),
    "version_id": _param(None, type=["null", "string"], description="The version of the object"),
    "etag": _param(None, type=["null", "string"], description="Refuse an object with another etag"),
    "size": _param(None, type=["null", "integer"], description="Bytes, from the notification"),
    "sequencer": _param(None, type=["null", "string"], description="From the notification"),
    "event_time": _param(None, type=["null", "string"], description="From the notification"),
    "origin": _param("manual", type="string", description="The origin of the case"),
    "schema": _param(None, type=["null", "integer"], description="The version of the conf's form"),
}

FORM_PARAMS: JSON = {
    **SOURCE_PARAMS,
    "pinned": _param({}, type="object", description="The result of fetch"),
    "scored": _param({}, type="object", description="The result of classify"),
    "request": _param(None, type=["null", "object"], description="What the person is asked"),
}

CASE_PARAMS: JSON = {
    **SOURCE_PARAMS,
    **{
        name: _param(
            None,
            section="Settings of this case (empty: those of the deployment)",
            **{
                **schema,
                "type": ["null", schema["type"]],
                **({"enum": [None, *schema["enum"]]} if "enum" in schema else {}),
            },
        )
        for name, schema in case_settings().items()
    },
}


@task
@records_failure()
def fetch() -> JSON:
    """Pin the object of the notification, and check that it is an image."""
    return steps.fetch(build_work(get_current_context())).to_json()


@task
@records_failure()
def classify(pinned: JSON) -> JSON:
    """Score the risk of pneumonia and label it."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image)
    scored = steps.classify(work, image)
    if unwanted := unwanted_steps(work.settings, scored.label):
        # Skipping them here saves the processes of their tasks.
        context["ti"].xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=hand_over(work, scored))
        raise DownstreamTasksSkipped(tasks=unwanted)
    return hand_over(work, scored)


def unwanted_steps(settings: Settings, label: str) -> list[str]:
    """Return the ids of the tasks that a case with this ``label`` is known not to need."""
    if settings.wants_review(label):
        return []  # The review may change the label, and with it the need of an anonymised copy.
    return ["review"] if settings.wants_anonymized(label) else ["review", "anonymize"]


@task(trigger_rule=TriggerRule.NONE_FAILED)
@records_failure()
def annotate(pinned: JSON, scored: JSON, reviewed: JSON | None) -> JSON:
    """Print the risk on the image."""
    image = Pinned.from_json(pinned)
    work = build_work(get_current_context(), image)
    result = take_over(work, Scored, reviewed or scored)
    return hand_over(work, steps.annotate(work, image, result))


@task(trigger_rule=TriggerRule.NONE_FAILED)
@records_failure()
def anonymize(pinned: JSON, scored: JSON, reviewed: JSON | None) -> JSON:
    """Redact the image if the policy asks for it; otherwise skip the task."""
    image = Pinned.from_json(pinned)
    work = build_work(get_current_context(), image)
    result = take_over(work, Scored, reviewed or scored)
    if not work.settings.wants_anonymized(result.label):
        raise AirflowSkipException(
            f"The policy {work.settings.anonymize.value!r} asks for no anonymised copy of a case "
            f"labelled {result.label}."
        )
    return hand_over(work, steps.anonymize(work, image, result))


@task(trigger_rule=TriggerRule.NONE_FAILED)
@records_failure()
def store(
    pinned: JSON, scored: JSON, reviewed: JSON | None, annotated: JSON, anonymized: JSON | None
) -> JSON:
    """Publish the results and write the audit record."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image, records=True)
    result = take_over(work, Scored, reviewed or scored)
    redacted = take_over(work, Staged, anonymized) if anonymized else None
    outcome = publish.store(work, image, result, take_over(work, Staged, annotated), redacted)
    ti = context["ti"]
    quarantined = outcome.decision == Decision.QUARANTINED
    if quarantined:
        api.set_note(ti.run_id, f"{IN_QUARANTINE} Attempt {outcome.attempt}.", ti.dag_id)
    # Last, so that hardly any retry counts the attempt again.
    metrics.finished(work.source, image, result, outcome, redacted.redaction if redacted else None)
    told.published(ti, work, result, outcome)
    if quarantined:
        return outcome.to_json()
    # Skipping it here saves the process of its task.
    ti.xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=outcome.to_json())
    raise DownstreamTasksSkipped(tasks=["quarantine"])


# The review is skipped unless the settings ask for it.
@task(trigger_rule=TriggerRule.NONE_FAILED)
@without_messages()
@tells_if_blocked()
def quarantine(pinned: JSON, scored: JSON, reviewed: JSON | None) -> None:
    """Open a form for the quarantined image, if few forms are open; otherwise it queues."""
    context, image = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, image)
    request = work.manifest.read()[0].waiting
    if request is None or (request.kind, request.case_id) != (RELEASE, work.case_id):
        raise AirflowSkipException("The image no longer waits for a decision.")
    result = take_over(work, Scored, reviewed or scored)
    waiting = Waiting(source=work.source, pinned=image, scored=result, request=request)
    forms.offer(waiting)
    told.waits(context["ti"], work, waiting)
