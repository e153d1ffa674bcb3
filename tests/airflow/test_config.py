"""xray.airflow.config: options of Airflow's configuration, and Variables"""

from __future__ import annotations

import pytest

from tests.support import KEYRING, SECRET
from xray.airflow import config
from xray.errors import SettingsError
from xray.settings import Settings


def test_options_have_defaults_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.bucket() == "xray-data-in"
    assert (config.sensors(), config.active_cases()) == (1, 32)
    assert (config.retries(), config.retry_seconds()) == (6, 10)
    assert config.case_minutes() == 60
    assert config.reconcile_schedule() is None
    assert config.checkpoint_schedule() is None
    for name in ("SENSORS", "ACTIVE_CASES", "RETRIES", "RETRY_SECONDS", "CASE_MINUTES"):
        monkeypatch.setenv(f"AIRFLOW__XRAY__{name}", "-1")
    assert (config.sensors(), config.active_cases()) == (1, 1)
    assert (config.retries(), config.retry_seconds()) == (0, 0)
    assert config.case_minutes() == 1
    monkeypatch.setenv("AIRFLOW__XRAY__RECONCILE_SCHEDULE", "@hourly")
    assert config.reconcile_schedule() == "@hourly"
    monkeypatch.setenv("AIRFLOW__XRAY__CHECKPOINT_SCHEDULE", "@daily")
    assert config.checkpoint_schedule() == "@daily"


def test_a_landing_bucket_whose_notifications_would_be_skipped_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__BUCKET", "hospital-staging")
    with pytest.raises(SettingsError, match="hospital-staging ends in -staging"):
        config.bucket()


def test_the_settings_of_a_run_take_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"normal_below": 0.5, "max_frames": 3}')
    settings = config.settings({"normal_below": 0.7})
    assert (settings.normal_below, settings.max_frames) == (0.7, 3)


def test_settings_that_are_not_json_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow itself takes such a Variable for one that is not set."""
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"anonymize": "always"')
    with pytest.raises(SettingsError, match="xray_settings is not JSON: correct it"):
        config.settings()
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "")
    assert config.settings() == Settings()


def test_settings_that_are_no_object_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "[1]")
    with pytest.raises(SettingsError, match="xray_settings must be a JSON object"):
        config.settings()


def test_the_secret_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", "")
    with pytest.raises(SettingsError, match="xray_pseudonym_secret is not set"):
        config.keyring()
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    assert config.keyring() == KEYRING
