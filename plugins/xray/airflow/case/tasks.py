"""The steps of a case as Airflow tasks.

Thin: a task gathers what its step works with, calls it, and hands on JSON.
The object key stays in the run's conf; no value between tasks holds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
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

from xray.airflow import api, config, connections
from xray.airflow.retry import RETRIES, TASK_DEFAULTS
from xray.case import Decision, Pinned, Run, Scored, Source, Staged, Work, ending, publish, steps
from xray.errors import PermanentError, SettingsError
from xray.settings import Settings, case_settings

log = logging.getLogger(__name__)

JSON = dict[str, Any]
IN_QUARANTINE = (
    "Quarantined: text on the image could not be removed, so no anonymised copy was published. "
    "Decide on it in Required Actions"
)


def _settings(context: Mapping[str, Any], pinned: Pinned | None) -> Settings:
    """The settings that the case goes by: once it has been fetched, they do not change."""
    if pinned:
        return Settings.from_mapping(pinned.settings)
    params = context["params"]
    return config.settings({n: params[n] for n in case_settings() if params[n] is not None})


def _work(context: Mapping[str, Any], settings: Settings, *, records: bool) -> Work:
    params, ti = context["params"], context["ti"]
    was_cleared = ti.max_tries > RETRIES  # Clearing a task allows it more tries.
    return Work(
        store=connections.object_store(),
        source=Source(**{field.name: params[field.name] for field in fields(Source)}),
        settings=settings,
        keyring=config.keyring(),
        run=Run(
            run_id=ti.run_id,
            task=ti.task_id,
            try_number=ti.try_number,
            triggered_by=getattr(context["dag_run"], "triggering_user_name", None),
            reran_by=api.cleared_by(ti.run_id) if records and was_cleared else None,
        ),
        token=f"{ti.task_id}:{ti.max_tries}",
    )


def build_work(
    context: Mapping[str, Any], pinned: Pinned | None = None, *, records: bool = False
) -> Work:
    """The case that a task works on.

    Args:
        context: the task's.
        pinned: what *fetch* found.
        records: whether the task is to write a record, which tells who reran the case.

    Raises:
        SettingsError: a variable or one of the run's settings is missing or wrong.
    """
    return _work(context, _settings(context, pinned), records=records)


def end(context: Mapping[str, Any], error: BaseException | None = None) -> None:
    """End a case that failed for good: record it, leave nothing half done, and say why in the UI.

    Also the DAG's callback, for a case whose workers died: it is harmless where the task itself
    has told of its end.
    """
    ti, reason = context["ti"], ending.describe(error)[0]
    try:
        found = ti.xcom_pull(task_ids="fetch")
        pinned = Pinned.from_json(found) if found else None
        try:
            settings = _settings(context, pinned)
        except SettingsError:
            settings = Settings()  # The case failed of this; the record says that there were none.
        reason = ending.abandon(_work(context, settings, records=True), error, pinned)
    except Exception as failure:
        # The store is away, say: what the case failed of is still to be told.
        log.error("The end of the case is not on record: %s", ending.describe(failure)[0])  # noqa: TRY400 - a traceback may quote the key
    api.set_note(ti.run_id, f"{ti.task_id} failed: {reason}")


@contextmanager
def accounted_for() -> Iterator[None]:
    """Around a step: a failure that ends the case is on record before Airflow hears of it."""
    try:
        yield
    except (AirflowSkipException, DownstreamTasksSkipped, TaskAwaitingInput):
        raise
    except BaseException as error:
        context = get_current_context()
        ti = context["ti"]
        if isinstance(error, PermanentError) or ti.try_number > ti.max_tries:
            end(context, error)
        raise


STEP_DEFAULTS: JSON = {
    **TASK_DEFAULTS,
    "execution_timeout": timedelta(minutes=10),
    # A case that was begun is ended before another one is: the newest step goes first.
    "weight_rule": WeightRule.UPSTREAM,
}

SOURCE_PARAMS: JSON = {
    "bucket": Param(
        "xray-data-in", type="string", minLength=3, description="The bucket that holds the image"
    ),
    "key": Param("", type="string", maxLength=1024, description="Its key in the bucket"),
    "version_id": Param(None, type=["null", "string"], description="Its version, if it has one"),
    "etag": Param(None, type=["null", "string"], description="Refuse the object if it has another"),
    "size": Param(None, type=["null", "integer"], description="Bytes, as announced"),
    "sequencer": Param(None, type=["null", "string"], description="From the notification"),
    "event_time": Param(None, type=["null", "string"], description="From the notification"),
    "origin": Param("manual", type="string", description="Who asked for this case"),
}

CASE_PARAMS: JSON = {
    **SOURCE_PARAMS,
    **{
        name: Param(
            None,
            section="Settings of this case; empty for the deployment's",
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
@accounted_for()
def fetch() -> JSON:
    """Pin exactly the object that was announced, and check that it is an image."""
    return steps.fetch(build_work(get_current_context())).to_json()


@task
@accounted_for()
def classify(pinned: JSON) -> JSON:
    """Score the risk of pneumonia and label it."""
    context, found = get_current_context(), Pinned.from_json(pinned)
    work = build_work(context, found)
    scored = steps.classify(work, found)
    not_asked_for = []
    if not work.settings.wants_review(scored.label):
        not_asked_for.append("review")
        if not work.settings.wants_anonymized(scored.label):
            not_asked_for.append("anonymize")
    if not_asked_for:
        # Skipped from here, they cost no task process.
        context["ti"].xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=scored.to_json())
        raise DownstreamTasksSkipped(tasks=not_asked_for)
    return scored.to_json()


@task(trigger_rule=TriggerRule.NONE_FAILED)
@accounted_for()
def annotate(pinned: JSON, scored: JSON, reviewed: JSON | None) -> JSON:
    """Print the risk on the image."""
    found = Pinned.from_json(pinned)
    work = build_work(get_current_context(), found)
    return steps.annotate(work, found, Scored.from_json(reviewed or scored)).to_json()


@task(trigger_rule=TriggerRule.NONE_FAILED)
@accounted_for()
def anonymize(pinned: JSON, scored: JSON, reviewed: JSON | None) -> JSON:
    """Redact the image, if the policy asks for it; skipped otherwise."""
    found, scores = Pinned.from_json(pinned), Scored.from_json(reviewed or scored)
    work = build_work(get_current_context(), found)
    if not work.settings.wants_anonymized(scores.label):
        raise AirflowSkipException(
            f"The policy {work.settings.anonymize.value!r} asks for no anonymised copy of a case "
            f"labelled {scores.label}."
        )
    return steps.anonymize(work, found, scores).to_json()


@task(trigger_rule=TriggerRule.NONE_FAILED)
@accounted_for()
def store(
    pinned: JSON, scored: JSON, reviewed: JSON | None, annotated: JSON, anonymized: JSON | None
) -> JSON:
    """Publish the results and write the audit record."""
    context, found = get_current_context(), Pinned.from_json(pinned)
    outcome = publish.store(
        build_work(context, found, records=True),
        found,
        Scored.from_json(reviewed or scored),
        Staged.from_json(annotated),
        Staged.from_json(anonymized) if anonymized else None,
    )
    if outcome.decision == Decision.QUARANTINED:
        api.set_note(context["ti"].run_id, f"{IN_QUARANTINE}, attempt {outcome.attempt}")
        return outcome.to_json()
    if outcome.attempt > 1:  # The note may still tell why an earlier attempt failed.
        api.set_note(context["ti"].run_id, f"{outcome.decision}, attempt {outcome.attempt}")
    # Skipped from here, it costs no task process.
    context["ti"].xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value=outcome.to_json())
    raise DownstreamTasksSkipped(tasks=["quarantine"])
