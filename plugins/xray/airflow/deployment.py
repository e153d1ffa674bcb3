"""What a deployment provides: the names of its connections and variables, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.sdk import Variable

from xray.errors import SettingsError
from xray.settings import Settings

if TYPE_CHECKING:
    from xray.storage import ObjectStore

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
TOPIC = "storage"
DEAD_LETTER_TOPIC = "storage.dlq"
CONFIG_SECTION = "xray"
"""Of Airflow's configuration, for what must be known when the DAG files are parsed."""


def sensors() -> int:
    """How many sensors share the topic's partitions: ``AIRFLOW__XRAY__SENSORS``, by default 1."""
    return max(1, int(conf.getint(CONFIG_SECTION, "sensors", fallback=1)))


def settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """The deployment's settings, with a run's ``overrides``."""
    stored = Variable.get(SETTINGS_VARIABLE, default={}, deserialize_json=True)
    if not isinstance(stored, dict):
        raise SettingsError(f"The Airflow Variable {SETTINGS_VARIABLE} must be a JSON object.")
    return Settings.from_mapping({**stored, **(overrides or {})})


def pseudonym_secret() -> str:
    """The secret of the pseudonyms.

    Raises:
        SettingsError: the variable is not set.
    """
    secret = Variable.get(SECRET_VARIABLE, default=None)
    if not secret:
        raise SettingsError(
            f"The Airflow Variable {SECRET_VARIABLE} is not set: set it to a long random value "
            "and keep it, as pseudonyms made with another one do not match."
        )
    return str(secret)


def object_store() -> ObjectStore:
    """The object store of the connection ``xray_s3``."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from xray.storage import ObjectStore

    return ObjectStore(S3Hook(aws_conn_id=S3_CONNECTION).get_conn())
