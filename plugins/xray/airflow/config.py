"""The configuration of a deployment: Variables, the section [xray], names of DAGs and topics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.configuration import conf
from airflow.sdk import Variable

from xray.errors import SettingsError
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.suffixes import landing_bucket

SETTINGS_VARIABLE = "xray_settings"
"""JSON: fields of :class:`xray.settings.Settings`. A field that is absent has its default."""
SECRET_VARIABLE = "xray_pseudonym_secret"  # noqa: S105 - its name, not its value
"""The secrets of the pseudonyms. No default: with a secret, one can test whose a pseudonym is."""
NOTICES_VARIABLE = "xray_notices"
"""JSON: who is told of which events. See :mod:`xray.airflow.notices`."""
TOLD_VARIABLE = "xray_notices_told"
"""JSON: when which cause of a blocked deployment was told. Airflow writes it."""
OVERDUE_VARIABLE = "xray_overdue_told"
"""A time in ISO 8601: overdue cases that were queued until then were told. Airflow writes it."""
CASE_DAG = "xray_case"
REVIEW_DAG = "xray_review"
RELEASE_DAG = "xray_release"
FORGET_DAG = "xray_forget"
BACKFILL_DAG = "xray_backfill"
RECONCILE_DAG = "xray_reconcile"
REPLAY_DAG = "xray_replay"
WAITS_FOR = "waits_for"
"""The key of the XCom in which a task says to the index what its case waits for."""
FORGOTTEN = "forgotten_objects"
"""The key of the XCom with the hashes by which the index knows the objects that were forgotten."""
MOST_FORMS = 100_000
"""How many forms of a kind may be open at most, those included that people have asked for."""
TOPIC = "storage"
DEAD_LETTER_TOPIC = "storage.dlq"
CONFIG_SECTION = "xray"
"""The section of Airflow's configuration for options that the DAG files need when parsed."""


def bucket() -> str:
    """Return the bucket that images land in: ``AIRFLOW__XRAY__BUCKET``.

    Raises:
        SettingsError: its name is that of an output bucket, whose notifications are skipped.
    """
    return landing_bucket(str(conf.get(CONFIG_SECTION, "bucket", fallback="xray-data-in")))


def sensors() -> int:
    """Return how many sensors share the partitions: ``AIRFLOW__XRAY__SENSORS``, by default 1."""
    return max(1, int(conf.getint(CONFIG_SECTION, "sensors", fallback=1)))


def active_cases() -> int:
    """Return how many cases may be active at once: ``AIRFLOW__XRAY__ACTIVE_CASES``, by default 32.

    A case that waits for a person is not active.
    """
    return max(1, int(conf.getint(CONFIG_SECTION, "active_cases", fallback=32)))


def open_forms() -> int:
    """Return how many forms of a kind are opened by themselves: ``AIRFLOW__XRAY__OPEN_FORMS``, by
    default 5.
    """
    return max(1, int(conf.getint(CONFIG_SECTION, "open_forms", fallback=5)))


def case_minutes() -> float:
    """Return after how many minutes a case is overdue: ``AIRFLOW__XRAY__CASE_MINUTES``, by default
    60.
    """
    return max(1.0, float(conf.getfloat(CONFIG_SECTION, "case_minutes", fallback=60.0)))


def retries() -> int:
    """Return how often a failed task is retried: ``AIRFLOW__XRAY__RETRIES``, by default 6."""
    return max(0, int(conf.getint(CONFIG_SECTION, "retries", fallback=6)))


def retry_seconds() -> float:
    """Return the pause before the first retry: ``AIRFLOW__XRAY__RETRY_SECONDS``, by default 10."""
    return max(0.0, float(conf.getfloat(CONFIG_SECTION, "retry_seconds", fallback=10.0)))


def reconcile_schedule() -> str | None:
    """Return the cron schedule of ``xray_reconcile``: ``AIRFLOW__XRAY__RECONCILE_SCHEDULE``.

    None, the default, if it runs only when triggered.
    """
    schedule: str | None = conf.get(CONFIG_SECTION, "reconcile_schedule", fallback=None)
    return schedule or None


def checkpoint_schedule() -> str | None:
    """Return the cron schedule of ``xray_checkpoint``: ``AIRFLOW__XRAY__CHECKPOINT_SCHEDULE``.

    None, the default, if it runs only when triggered.
    """
    schedule: str | None = conf.get(CONFIG_SECTION, "checkpoint_schedule", fallback=None)
    return schedule or None


def settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the deployment's settings, in which ``overrides`` of a run take precedence.

    Raises:
        SettingsError: a setting is unknown, or has a wrong value.
    """
    text = Variable.get(SETTINGS_VARIABLE, default=None)
    try:
        # Not by Airflow, which takes a Variable that is not JSON for one that is not set.
        stored = json.loads(text) if text else {}
    except ValueError:
        raise SettingsError(
            f"The Airflow Variable {SETTINGS_VARIABLE} is not JSON: correct it."
        ) from None
    if not isinstance(stored, dict):
        raise SettingsError(f"The Airflow Variable {SETTINGS_VARIABLE} must be a JSON object.")
    return Settings.from_mapping({**stored, **(overrides or {})})


def keyring() -> Keyring:
    """Return the deployment's secrets.

    Raises:
        SettingsError: the Variable is not set, or a secret is too short.
    """
    secret = Variable.get(SECRET_VARIABLE, default=None)
    if not secret:
        raise SettingsError(
            f"The Airflow Variable {SECRET_VARIABLE} is not set: set it to a long random value "
            "and keep that value, because another one gives other pseudonyms."
        )
    return Keyring.from_text(str(secret))
