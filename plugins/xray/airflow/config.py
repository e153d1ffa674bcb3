"""What a deployment configures: Variables, the section [xray], names of DAGs and topics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.configuration import conf
from airflow.sdk import Variable

from xray.errors import SettingsError
from xray.pseudonym import Keyring
from xray.settings import Settings

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


def keyring() -> Keyring:
    """Read the deployment's secrets.

    Raises:
        SettingsError: the variable is not set, or one of them is too short.
    """
    secret = Variable.get(SECRET_VARIABLE, default=None)
    if not secret:
        raise SettingsError(
            f"The Airflow Variable {SECRET_VARIABLE} is not set: set it to a long random value "
            "and keep it, as pseudonyms made with another one do not match."
        )
    return Keyring.from_text(str(secret))
