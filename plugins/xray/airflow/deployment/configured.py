"""What is configured in Airflow: the connections, the secret, the settings, and the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from xray import pacs
from xray.airflow import config, connections, notices
from xray.airflow.deployment.table import Answer, limit, problem, unknown, well
from xray.errors import SettingsError, XrayError
from xray.settings import Outputs

if TYPE_CHECKING:
    from airflow.sdk import Connection

TYPES = {
    connections.S3_CONNECTION: "aws",
    connections.KAFKA_CONNECTION: "kafka",
    connections.API_CONNECTION: "http",
}
"""The connections of a deployment and their types."""


def find_connection(name: str) -> Connection | None:
    """Return a connection; None if Airflow knows none of that name."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        return None


def connection_answer(name: str, connection: Connection | None) -> Answer:
    """Return whether a connection is there and complete.

    Args:
        name: the name of the connection.
        connection: the connection; None if there is none.
    """
    title = f"connection {name}"
    if connection is None:
        return problem(
            title,
            f"It is not defined: set the environment variable AIRFLOW_CONN_{name.upper()}, or add "
            f"a connection of type {TYPES[name]} under Admin, Connections. If Airflow has it, this "
            "shell lacks Airflow's environment: see docs/setup.md.",
        )
    fault = _connection_fault(name, connection)
    if fault:
        return problem(title, fault)
    return well(title, _described(name, connection))


def _connection_fault(name: str, connection: Connection) -> str | None:
    """Return what is missing or wrong in a connection, and what to do; None if nothing is."""
    if connection.conn_type != TYPES[name]:
        return f"Its type is {connection.conn_type or 'not set'}: set it to {TYPES[name]}."
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        return "Its extra is not a JSON object: correct it."
    if name == connections.KAFKA_CONNECTION:
        try:
            connections.check_kafka_connection(extra)
        except SettingsError as error:
            return str(error)
    if name == connections.S3_CONNECTION and bool(connection.login) != bool(connection.password):
        return (
            "It has one half of the key pair: set the access key as login, the secret as password."
        )
    if name == connections.API_CONNECTION:
        missing = [
            field for field in ("host", "login", "password") if not getattr(connection, field)
        ]
        if missing:
            return f"Its {' and '.join(missing)} is not set: set it (see docs/setup.md)."
    return None


def _described(name: str, connection: Connection) -> str:
    """Return in one sentence where a connection leads, without its secrets."""
    extra = connection.extra_dejson
    if name == connections.S3_CONNECTION:
        url = urlsplit(str(extra.get("endpoint_url") or ""))
        where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}" if url.netloc else "AWS"
        keys = "a key pair" if connection.login else "no keys: those of this machine are used"
        return f"It leads to {where}, with {keys}."
    if name == connections.KAFKA_CONNECTION:
        brokers, group = extra.get("bootstrap.servers"), extra.get("group.id")
        return f"It leads to {brokers}, as the consumer group {group}."
    host = urlsplit(connection.host or "").netloc.rpartition("@")[2] or connection.host
    return f"It leads to {host}, as {connection.login}."


def secrets() -> tuple[str, ...]:
    """Return the secrets of pseudonyms and case ids; none if they are not valid."""
    try:
        return config.keyring().secrets
    except XrayError:
        return ()


def secret_answer() -> Answer:
    """Return whether the secret of pseudonyms and case ids is set, and long enough."""
    try:
        count = len(config.keyring().secrets)
    except XrayError as error:
        return problem("secret", str(error))
    several = f"{count} secrets are set, and all are" if count > 1 else "It is set, and it is"
    return well("secret", f"{several} long enough.")


def settings_answers() -> Iterator[Answer]:
    """Yield whether the settings, the options of ``[xray]`` and the notices are valid."""
    name = "settings"
    try:
        config.settings()
    except SettingsError as error:
        yield problem(name, f"Correct the Airflow Variable {config.SETTINGS_VARIABLE}: {error}")
    else:
        yield well(name, f"{config.SETTINGS_VARIABLE} is valid, or not set.")
    yield _options_answer()
    yield _notices_answer()


def _notices_answer() -> Answer:
    """Return whether somebody is told when a person is needed."""
    name = "notices"
    try:
        count = len(notices.recipients())
    except SettingsError as error:
        return problem(name, str(error))
    if not count:
        return limit(
            name,
            f"Nobody is told when a case fails or waits: set {config.NOTICES_VARIABLE} "
            "(docs/notices.md).",
        )
    return well(name, f"{config.NOTICES_VARIABLE} is valid, with {count} entries.")


OPTIONS: tuple[Callable[[], Any], ...] = (
    config.bucket,
    config.sensors,
    config.active_cases,
    config.open_forms,
    config.retries,
    config.retry_seconds,
    config.reconcile_schedule,
    config.checkpoint_schedule,
    config.case_minutes,
)
"""The functions that read the options of the section ``[xray]``."""


def _options_answer() -> Answer:
    from airflow.exceptions import AirflowConfigException

    name = "options [xray]"
    for option in OPTIONS:
        try:
            option()
        except (AirflowConfigException, ValueError):
            return problem(
                name,
                f"The option {option.__name__} of Airflow's section [xray] cannot be read: correct "
                f"AIRFLOW__XRAY__{option.__name__.upper()} (see docs/cases.md).",
            )
    return well(name, f"They are valid; images land in {config.bucket()}.")


def model_answers() -> Iterator[Answer]:
    """Yield whether the model loads, and the shadow model if the settings name one."""
    yield _model_answer("model", None)
    with suppress(SettingsError):  # The check of the settings tells of it.
        if directory := config.settings().shadow_model:
            yield _model_answer("shadow model", Path(directory), " Cases go on without it.")


def pacs_answers() -> Iterator[Answer]:
    """Yield whether the PACS answers, if the settings send results there."""
    with suppress(SettingsError):  # The check of the settings tells of it.
        if config.settings().outputs is not Outputs.BUCKETS:
            yield _pacs_answer()


def _pacs_answer() -> Answer:
    if pacs.check(connections.request_to_pacs):
        return well("PACS", f"The PACS of {connections.PACS_CONNECTION} answers.")
    return unknown(
        "PACS",
        f"The PACS of {connections.PACS_CONNECTION} offers no searches, so it was not tried.",
    )


def _model_answer(name: str, directory: Path | None, effect: str = "") -> Answer:
    from xray.risk import RiskModel

    try:
        return well(name, f"It loads: version {RiskModel.load(directory).version}.")
    except XrayError as error:
        return problem(name, f"{error}{effect}")
