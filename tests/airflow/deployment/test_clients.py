"""xray.airflow.deployment.clients: a plain shell, and which parts of a connection are secret"""

from __future__ import annotations

import io
import json
import logging
import os
import sys

import pytest

from xray.airflow.deployment import clients
from xray.airflow.deployment.configured import find_connection


def backends() -> set[str]:
    """Where the hooks look for connections now."""
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    return {type(backend).__name__ for backend in ensure_secrets_backend_loaded()}


def test_a_plain_shell_looks_into_the_metadata_database() -> None:
    """It fails when Airflow changes its private variable, and so does tests/e2e/test_stack.py."""
    assert "MetastoreBackend" not in backends()
    with clients.plain_shell(io.StringIO()):
        assert {"EnvironmentVariablesBackend", "MetastoreBackend"} <= backends()
    assert "MetastoreBackend" not in backends()
    assert clients.PROCESS_CONTEXT not in os.environ


def test_a_plain_shell_prints_the_table_alone(capfd: pytest.CaptureFixture[str]) -> None:
    with clients.plain_shell(sys.__stdout__) as table:  # type: ignore[arg-type]
        print("of a hook")
        os.write(1, b"of a library\n")
        os.write(2, b"an error of a library\n")
        logging.getLogger("botocore").critical("of a log")
        table.write("the table\n")
        table.flush()
    print("after it")
    output = capfd.readouterr()
    assert (output.out, output.err) == ("the table\nafter it\n", "")


def test_secrets_of_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {
        "bootstrap.servers": "kafka:9092",
        "sasl.username": "xray",
        "sasl.password": "one",
        "ssl.key.password": "two",
        "ssl.key.location": "/etc/key.pem",
        "session_kwargs": {"aws_secret_access_key": "three", "profile_name": "p"},
    }
    connection = {"conn_type": "kafka", "password": "four", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(connection))
    found = find_connection("xray_kafka")
    assert found is not None
    assert clients.secrets_of(found) == {"one", "two", "three", "four"}
