"""The steps of a case as Airflow tasks.

Thin: a task gathers what its step works with, calls it, and hands on JSON.
The object key stays in the run's conf; no value between tasks holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    TriggerRule,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from xray import steps
from xray.airflow import deployment
from xray.case import Pinned, Scored, Source, Staged
from xray.errors import XrayError

JSON = dict[str, Any]


def failed(context: Mapping[str, Any]) -> None:
    """Record a case's failure in its audit trail, and clear what it staged."""
    error = context.get("exception")
    # The words of a foreign exception may quote the object key; its type cannot.
    reason = str(error) if isinstance(error, XrayError) else f"unexpected {type(error).__name__}"
    work = _work(context)
    steps.record(work, outcome="failed", step=context["ti"].task_id, error=reason)
    steps.clear_stage(work)


STEP_DEFAULTS: JSON = {
    "owner": "xray",
    "retries": 3,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=5),
    "execution_timeout": timedelta(minutes=10),
    # The kind of the failure decides, not the task: a permanent one is not tried again.
    "retry_policy": ExceptionRetryPolicy(
        [RetryRule(exception="xray.errors.PermanentError", action=RetryAction.FAIL)]
    ),
    "on_failure_callback": failed,
}

CASE_PARAMS: JSON = {
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
    "settings": Param({}, type="object", description="Settings that differ for this case"),
}


def _work(context: Mapping[str, Any]) -> steps.Work:
    params = context["params"]
    return steps.Work(
        store=deployment.object_store(),
        source=Source(**{field.name: params[field.name] for field in fields(Source)}),
        settings=deployment.settings(params["settings"]),
        secret=deployment.pseudonym_secret(),
    )


def _current_work() -> steps.Work:
    return _work(get_current_context())


@task
def fetch() -> JSON:
    """Pin exactly the object that was announced, and check that it is an image."""
    return steps.fetch(_current_work()).to_json()


@task
def classify(pinned: JSON) -> JSON:
    """Score the risk of pneumonia and label it."""
    return steps.classify(_current_work(), Pinned.from_json(pinned)).to_json()


@task
def annotate(pinned: JSON, scored: JSON) -> JSON:
    """Print the risk on the image."""
    return steps.annotate(
        _current_work(), Pinned.from_json(pinned), Scored.from_json(scored)
    ).to_json()


@task
def anonymize(pinned: JSON, scored: JSON) -> JSON:
    """Redact the image, if the policy asks for it; skipped otherwise."""
    work, scores = _current_work(), Scored.from_json(scored)
    staged = steps.anonymize(work, Pinned.from_json(pinned), scores)
    if staged is None:
        raise AirflowSkipException(
            f"The policy {work.settings.anonymize.value!r} asks for no anonymised copy of a case "
            f"labelled {scores.label}."
        )
    return staged.to_json()


@task(trigger_rule=TriggerRule.NONE_FAILED)
def store(pinned: JSON, scored: JSON, annotated: JSON, anonymized: JSON | None) -> JSON:
    """Publish the results and write the audit record."""
    return steps.store(
        _current_work(),
        Pinned.from_json(pinned),
        Scored.from_json(scored),
        Staged.from_json(annotated),
        Staged.from_json(anonymized) if anonymized else None,
    ).to_json()
