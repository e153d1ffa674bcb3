"""xray.airflow.deployment.configured: one test for each fault, which says what to do"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from xray.airflow.deployment.configured import (
    OPTIONS,
    TYPES,
    connection_answer,
    find_connection,
    model_answers,
    secret_answer,
    settings_answers,
)
from xray.airflow.deployment.table import Mark

FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("xray_s3", {"conn_type": "http"}, "Its type is http: set it to aws."),
    ("xray_s3", {"password": ""}, "one half of the key pair"),
    ("xray_s3", {"extra": "{"}, "not a JSON object"),
    ("xray_s3", {"extra": "[1]"}, "not a JSON object"),
    ("xray_kafka", {"extra": {}}, '"bootstrap.servers" is not set'),
    ("xray_kafka", {"extra": {"bootstrap.servers": "k:9092"}}, "must be false"),
    ("xray_api", {"login": "", "password": ""}, "login and password is not set"),
    ("xray_api", {"host": ""}, "host is not set"),
]


@pytest.mark.parametrize(("name", "change", "sentence"), FAULTS)
def test_a_fault_of_a_connection(
    deployed: Any, monkeypatch: pytest.MonkeyPatch, name: str, change: Any, sentence: str
) -> None:
    variable = f"AIRFLOW_CONN_{name.upper()}"
    connection = {**json.loads(os.environ[variable]), **change}
    monkeypatch.setenv(variable, json.dumps(connection))
    answer = connection_answer(name, find_connection(name))
    assert answer.mark is Mark.PROBLEM
    assert sentence in answer.sentence


@pytest.mark.parametrize("name", TYPES)
def test_a_connection_that_is_missing(name: str) -> None:
    answer = connection_answer(name, find_connection(name))
    assert answer.mark is Mark.PROBLEM
    assert f"AIRFLOW_CONN_{name.upper()}" in answer.sentence


def test_a_secret_that_is_missing_or_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not set" in secret_answer().sentence
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", "short")
    answer = secret_answer()
    assert answer.mark is Mark.PROBLEM
    assert "at least 16 bytes" in answer.sentence
    assert "short" not in answer.sentence
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", json.dumps(["new " * 5, "old " * 5]))
    assert secret_answer().sentence.startswith("2 secrets are set")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("{", "is not JSON"), ('{"a": 1}', "Unknown setting 'a'"), ("[]", "must be a JSON object")],
)
def test_settings_that_are_wrong(
    monkeypatch: pytest.MonkeyPatch, value: str, sentence: str
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", value)
    answer, options, _ = settings_answers()
    assert answer.mark is Mark.PROBLEM
    assert sentence in answer.sentence
    assert options.mark is Mark.WELL


def test_an_option_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__SENSORS", "many")
    _, options, _ = settings_answers()
    assert options.mark is Mark.PROBLEM
    assert "AIRFLOW__XRAY__SENSORS" in options.sentence


def test_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    variable = "AIRFLOW_VAR_XRAY_NOTICES"
    *_, nobody = settings_answers()
    assert nobody.mark is Mark.LIMIT
    assert "docs/notices.md" in nobody.sentence
    monkeypatch.setenv(variable, "{")
    *_, wrong = settings_answers()
    assert wrong.mark is Mark.PROBLEM
    notifier = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
    entry = {"notifier": notifier, "on": ["failed"], "arguments": {"to": "a@b.example"}}
    monkeypatch.setenv(variable, json.dumps([entry]))
    *_, told = settings_answers()
    assert told.mark is Mark.WELL, told


def test_all_options_are_read() -> None:
    from tests.test_documentation import DOCS, rows

    documented = rows(DOCS / "cases.md", "environment")
    assert {f"AIRFLOW__XRAY__{option.__name__.upper()}" for option in OPTIONS} == set(documented)


def test_a_model_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (answer,) = model_answers()
    assert answer.mark is Mark.WELL
    monkeypatch.setenv("XRAY_MODEL_DIR", str(tmp_path))
    (answer,) = model_answers()
    assert answer.mark is Mark.PROBLEM
    assert "XRAY_MODEL_DIR" in answer.sentence


def test_the_shadow_model_is_loaded_if_the_settings_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for directory, mark in ((ROOT / "include" / "model", Mark.WELL), (tmp_path, Mark.PROBLEM)):
        settings = {"shadow_model": str(directory)}
        monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", json.dumps(settings))
        champion, challenger = model_answers()
        assert champion.mark is Mark.WELL
        assert (challenger.name, challenger.mark) == ("shadow model", mark)
