"""What a deployment provides: the names of its connections and variables, and what they hold."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.configuration import conf
from airflow.sdk import Variable

from xray.errors import SettingsError, XrayError
from xray.pseudonym import keyring
from xray.settings import Settings

if TYPE_CHECKING:
    from xray.airflow.runs import RunsClient
    from xray.storage import ObjectStore

T = TypeVar("T")
log = logging.getLogger(__name__)

S3_CONNECTION = "xray_s3"
"""Type aws: the object store. ``endpoint_url`` in its extra for one that is not AWS."""
KAFKA_CONNECTION = "xray_kafka"
"""Type kafka: the brokers and the consumer group."""
API_CONNECTION = "xray_api"
"""Type http: this Airflow's own REST API, with a service account's login."""
SETTINGS_VARIABLE = "xray_settings"
"""JSON: fields of :class:`xray.settings.Settings`; absent means the defaults."""
SECRET_VARIABLE = "xray_pseudonym_secret"  # noqa: S105 - its name, not its value
"""What pseudonyms are keyed with. No default; whoever has it can test who a pseudonym is."""
CASE_DAG = "xray_case"
RELEASE_DAG = "xray_release"
TOPIC = "storage"
DEAD_LETTER_TOPIC = "storage.dlq"
CONFIG_SECTION = "xray"
"""Of Airflow's configuration, for what must be known when the DAG files are parsed."""


def sensors() -> int:
    """How many sensors share the topic's partitions: ``AIRFLOW__XRAY__SENSORS``, by default 1."""
    return max(1, int(conf.getint(CONFIG_SECTION, "sensors", fallback=1)))


def active_cases() -> int:
    """How many cases are under way at once: ``AIRFLOW__XRAY__ACTIVE_CASES``, by default 32.

    A case that waits for a review is under way.
    """
    return max(1, int(conf.getint(CONFIG_SECTION, "active_cases", fallback=32)))


def retries() -> int:
    """How often a failed task is tried again: ``AIRFLOW__XRAY__RETRIES``, by default 6."""
    return max(0, int(conf.getint(CONFIG_SECTION, "retries", fallback=6)))


def retry_seconds() -> float:
    """Before the first retry: ``AIRFLOW__XRAY__RETRY_SECONDS``, by default 10."""
    return max(0.0, float(conf.getfloat(CONFIG_SECTION, "retry_seconds", fallback=10.0)))


def reconcile_schedule() -> str | None:
    """When buckets are reconciled, as cron says it: ``AIRFLOW__XRAY__RECONCILE_SCHEDULE``."""
    schedule: str | None = conf.get(CONFIG_SECTION, "reconcile_schedule", fallback=None)
    return schedule or None


def settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The deployment's settings, with a run's ``overrides``."""
    stored = Variable.get(SETTINGS_VARIABLE, default={}, deserialize_json=True)
    if not isinstance(stored, dict):
        raise SettingsError(f"The Airflow Variable {SETTINGS_VARIABLE} must be a JSON object.")
    return Settings.from_mapping({**stored, **(overrides or {})})


def pseudonym_secret() -> str:
    """The secret of the case ids: the oldest of :func:`pseudonym_secrets`."""
    return pseudonym_secrets()[-1]


def pseudonym_secrets() -> tuple[str, ...]:
    """The secrets of the pseudonyms, newest first.

    Raises:
        SettingsError: the variable is not set, or one of them is too short.
    """
    secret = Variable.get(SECRET_VARIABLE, default=None)
    if not secret:
        raise SettingsError(
            f"The Airflow Variable {SECRET_VARIABLE} is not set: set it to a long random value "
            "and keep it, as pseudonyms made with another one do not match."
        )
    return keyring(str(secret))


def object_store() -> ObjectStore:
    """The object store of the connection ``xray_s3``."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    from xray.storage import ObjectStore

    hook = S3Hook(aws_conn_id=S3_CONNECTION)
    # A store that is away is found out in seconds: the task is tried again, and blocks no worker.
    # What the connection says goes before this.
    patience = Config(
        connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return ObjectStore(hook.get_client_type(config=patience.merge(hook.config)))


def tell(run_id: str, note: str, dag_id: str = CASE_DAG) -> None:
    """Put a note on a case's run, where the UI shows it; a run is none the worse without."""
    _ask(lambda client: client.note(dag_id, run_id, note), "The run has no note")


def cleared_by(run_id: str) -> str | None:
    """Who cleared a case's run last; None if that cannot be told."""
    return _ask(lambda client: client.cleared_by(CASE_DAG, run_id), "Nobody says who cleared this")


def _ask(question: Callable[[RunsClient], Awaitable[T]], otherwise: str) -> T | None:
    """Ask Airflow's API for something that can be done without."""
    import asyncio

    from airflow.sdk import BaseHook

    from xray.airflow.runs import RunsClient

    async def ask() -> T:
        async with RunsClient.from_connection(BaseHook.get_connection(API_CONNECTION)) as client:
            return await question(client)

    try:
        return asyncio.run(ask())
    except Exception as error:
        reason = str(error) if isinstance(error, XrayError) else type(error).__name__
        log.warning("%s: %s", otherwise, reason)
        return None
