"""config/metrics: each alert is raised by what it is about, and by nothing that is well"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.servers.processes import StartError
from include.servers.real.prometheus import CONFIG, find_program
from tests.support import ROOT

PAGE = ROOT / "docs" / "monitoring.md"
RULES = [str(CONFIG / name) for name in ("limits.yaml", "rules.yaml", "alerts.yaml")]
pytestmark = pytest.mark.timeout(900)  # Days of series, on a machine that may be busy.
HOUR, DAY = 60, 24 * 60
"""In minutes. The tests begin on a Thursday at midnight (UTC)."""
ON = "1x6000"
FLAT = "0x6000"
GROWS = "0+1x6000"

HEALTHY = {
    'up{job="airflow"}': ON,
    "airflow_xray_notifications_heartbeat": "0+12x6000",
    "airflow_xray_notifications_paused": FLAT,
    'airflow_xray_notifications_lag_partition{partition="0"}': "3x6000",
    'airflow_xray_notifications_lag_unknown{sensor="listen_1"}': FLAT,
    'airflow_xray_notifications_stalled{sensor="listen_1"}': FLAT,
    'airflow_xray_notifications_blocked{sensor="listen_1"}': FLAT,
    "airflow_xray_notifications_started": GROWS,
    "airflow_xray_notifications_dead_lettered": "2x6000",
    'airflow_xray_cases_finished{label="Normal"}': GROWS,
    'airflow_xray_cases_failed{task_id="fetch"}': "0+0.05x6000",
    "airflow_xray_cases_overdue": FLAT,
    "airflow_xray_waiting_review_age": "600x6000",
    "airflow_xray_waiting_release_age": "7200x6000",
    "airflow_xray_staging_age": "600x6000",
    "airflow_xray_audit_checkpoint_age": "3600x6000",
    "airflow_xray_reconcile_age": "1800x6000",
    "airflow_xray_watch_heartbeat": GROWS,
}
"""A deployment in which all is well: its series, minute by minute."""


def risks(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, str]:
    """The cases of each bin: so many every 5 minutes for 2 days, and for one day more."""
    return {
        f'airflow_xray_cases_risk{{bin="{name}"}}': f"0+{count}x576 "
        f"{count * 576 + after[name]}+{after[name]}x287"
        for name, count in before.items()
    }


@dataclass(frozen=True, kw_only=True)
class Case:
    """What differs from :data:`HEALTHY`, and what is raised then."""

    at: int
    """In minutes."""
    series: dict[str, str | None] = field(default_factory=dict)
    """The values of each series that differs; None if it is missing."""
    labels: dict[str, str] = field(default_factory=dict)
    """The labels of the alert, beside its name and its severity."""
    interval: int = 1
    """The minutes between two values."""
    alone: bool = False
    """Whether there are no other series: days of all of them take promtool long."""


FIRING: dict[str, Case] = {
    "MetricsGone": Case(
        at=30, series={'up{job="airflow"}': "1x10 0x100"}, labels={"job": "airflow"}
    ),
    "ListenerGone": Case(at=30, series={"airflow_xray_notifications_heartbeat": "0+12x10 120x100"}),
    "ListenerPaused": Case(at=60, series={"airflow_xray_notifications_paused": "0x10 1x100"}),
    "LagGrows": Case(
        at=90,
        series={'airflow_xray_notifications_lag_partition{partition="1"}': "0x30 0+50x100"},
    ),
    "LagUnknown": Case(
        at=60,
        series={'airflow_xray_notifications_lag_unknown{sensor="listen_2"}': "0x10 1x100"},
        labels={"sensor": "listen_2"},
    ),
    "RunsStalled": Case(
        at=30,
        series={'airflow_xray_notifications_stalled{sensor="listen_1"}': "0x10 0+60x100"},
        labels={"sensor": "listen_1"},
    ),
    "ListenerBlocked": Case(
        at=30,
        series={'airflow_xray_notifications_blocked{sensor="listen_1"}': "0x10 0+60x100"},
        labels={"sensor": "listen_1"},
    ),
    # The first message that is lost makes the series.
    "MessagesLost": Case(
        at=90, series={"airflow_xray_notifications_lost": "_x80 3x100"}, labels={"of": "lost"}
    ),
    "DeadLetters": Case(
        at=90,
        series={"airflow_xray_notifications_dead_lettered": "2x80 3x100"},
        labels={"of": "dead_lettered"},
    ),
    "CasesFail": Case(
        at=90,
        series={'airflow_xray_cases_failed{task_id="classify"}': "_x60 1+1x100"},
        labels={"of": "failed"},
    ),
    "ReviewWaits": Case(at=30, series={"airflow_xray_waiting_review_age": "18000x100"}),
    "ReleaseWaits": Case(at=30, series={"airflow_xray_waiting_release_age": "90000x100"}),
    "CasesOverdue": Case(at=30, series={"airflow_xray_cases_overdue": "0x10 2x100"}),
    "NoCases": Case(
        at=10 * HOUR, series={"airflow_xray_notifications_started": "0+1x420 420x1000"}
    ),
    "WatchGone": Case(at=30, series={"airflow_xray_watch_heartbeat": None}),
    "StagingNotSwept": Case(at=30, series={"airflow_xray_staging_age": "100000x100"}),
    "CheckpointOld": Case(at=30, series={"airflow_xray_audit_checkpoint_age": "100000x100"}),
    "ReconcileOld": Case(at=30, series={"airflow_xray_reconcile_age": "100000x100"}),
    "NoticesFail": Case(
        at=90,
        series={'airflow_xray_notices_failed{event="failed"}': "_x80 1x100"},
        labels={"of": "notices_failed"},
    ),
    "DriftToLookAt": Case(
        at=3 * DAY - 60,
        series=risks({"0.0": 4, "0.5": 1, "0.9": 5}, {"0.0": 4, "0.5": 3, "0.9": 3}),
        labels={"of": "risk"},
        interval=5,
        alone=True,
    ),
    "Drift": Case(
        at=3 * DAY - 60,
        series={
            **risks({"0.0": 4, "0.9": 5}, {"0.0": 4, "0.9": 5}),
            'airflow_xray_cases_refused{source="gate", reason="inverted"}': "_x576 6+6x287",
            'airflow_xray_cases_refused{source="reader", reason="empty"}': GROWS,
        },
        labels={"of": "gate"},
        interval=5,
        alone=True,
    ),
}

SILENT: dict[str, tuple[str, Case]] = {
    "a paused listener is not gone": (
        "ListenerGone",
        Case(
            at=60,
            series={
                "airflow_xray_notifications_heartbeat": "0+12x10 120x100",
                "airflow_xray_notifications_paused": "0x10 1x100",
            },
        ),
    ),
    "without metrics, nobody knows about the listener": (
        "ListenerGone",
        Case(
            at=60,
            series={
                "airflow_xray_notifications_heartbeat": "0+12x10 _x100",
                'up{job="airflow"}': "1x10 0x100",
            },
        ),
    ),
    "a burst that is worked off": (
        "LagGrows",
        Case(
            at=90,
            series={'airflow_xray_notifications_lag_partition{partition="0"}': "0x30 9000-50x100"},
        ),
    ),
    "a dead letter of an hour ago": (
        "DeadLetters",
        Case(at=3 * HOUR, series={"airflow_xray_notifications_dead_lettered": "2x80 3x2000"}),
    ),
    "a counter after a pause of Prometheus": (
        "DeadLetters",
        Case(
            at=3 * HOUR + 5,
            series={"airflow_xray_notifications_dead_lettered": "2x100 _x30 2x1000"},
        ),
    ),
    "two failures of three cases": (
        "CasesFail",
        Case(
            at=90,
            series={
                'airflow_xray_cases_failed{task_id="fetch"}': "_x60 2x100",
                'airflow_xray_cases_finished{label="Normal"}': "_x60 1x100",
            },
        ),
    ),
    "many cases, and a few failures": (
        "CasesFail",
        Case(at=90, series={'airflow_xray_cases_failed{task_id="fetch"}': "_x60 8x100"}),
    ),
    "no cases at night": (
        "NoCases",
        Case(at=6 * HOUR, series={"airflow_xray_notifications_started": "0+1x60 60x1000"}),
    ),
    "the night before the first hours": (
        "NoCases",
        Case(at=8 * HOUR + 30, series={"airflow_xray_notifications_started": "0+1x60 60x1000"}),
    ),
    "no cases on Saturday": (
        "NoCases",
        Case(
            at=2 * DAY + 12 * HOUR,
            series={"airflow_xray_notifications_started": "0+1x60 60x6000"},
            interval=2,
            alone=True,
        ),
    ),
    "a deployment that had no case yet": (
        "NoCases",
        Case(at=10 * HOUR, series={"airflow_xray_notifications_started": None}),
    ),
    "too few cases to tell a drift": (
        "DriftToLookAt",
        Case(
            at=3 * DAY - 60,
            series=risks({"0.0": 0.2, "0.9": 0.2}, {"0.0": 0.01, "0.9": 0.4}),
            interval=5,
            alone=True,
        ),
    ),
    "the same images": (
        "DriftToLookAt",
        Case(
            at=3 * DAY - 60,
            series=risks({"0.0": 4, "0.9": 5}, {"0.0": 4, "0.9": 5}),
            interval=5,
            alone=True,
        ),
    ),
}


@pytest.fixture(scope="module")
def promtool(request: pytest.FixtureRequest) -> str:
    """Return the path of promtool: installed, or from Debian's package."""
    try:
        return str(find_program("promtool"))
    except StartError as error:
        if request.config.getoption("--real"):
            raise
        pytest.skip(str(error))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((CONFIG / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def check(promtool: str, folder: Path, case: Case, expressions: list[dict[str, Any]]) -> str:
    """Let promtool evaluate the rules on a case; return what is not as expected."""
    series = case.series if case.alone else {**HEALTHY, **case.series}
    document = {
        "rule_files": RULES,
        "evaluation_interval": f"{case.interval}m",
        "tests": [
            {
                "interval": f"{case.interval}m",
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items() if values
                ],
                "promql_expr_test": expressions,
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def expected(alert: str, case: Case, *, fires: bool) -> dict[str, Any]:
    """What promtool is to find: the one alert, or none."""
    severity = next(one["labels"]["severity"] for one in alerts() if one["alert"] == alert)
    labels = {"alertname": alert, "alertstate": "firing", "severity": severity, **case.labels}
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {
        "expr": f'ALERTS{{alertname="{alert}", alertstate="firing"}}',
        "eval_time": f"{case.at}m",
        "exp_samples": [{"labels": f"ALERTS{{{inside}}}", "value": 1}] if fires else [],
    }


def test_promtool_accepts_the_rules(promtool: str) -> None:
    for command in (
        ["check", "config", str(CONFIG / "prometheus.yaml")],
        ["check", "rules", *RULES],
    ):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", FIRING)
def test_an_alert_is_raised(promtool: str, tmp_path: Path, alert: str) -> None:
    case = FIRING[alert]
    assert check(promtool, tmp_path, case, [expected(alert, case, fires=True)]) == ""


@pytest.mark.parametrize("name", SILENT)
def test_an_alert_is_not_raised(promtool: str, tmp_path: Path, name: str) -> None:
    alert, case = SILENT[name]
    assert check(promtool, tmp_path, case, [expected(alert, case, fires=False)]) == ""


def test_nothing_is_raised_if_all_is_well(promtool: str, tmp_path: Path) -> None:
    # The first hour counts what Prometheus finds when it starts.
    times = (2 * HOUR, 6 * HOUR, 10 * HOUR)
    quiet = [{"expr": "ALERTS", "eval_time": f"{at}m", "exp_samples": []} for at in times]
    assert check(promtool, tmp_path, Case(at=0), quiet) == ""


def test_each_alert_has_a_test_that_raises_it() -> None:
    assert [one["alert"] for one in alerts()] == list(FIRING)


def test_each_alert_says_what_to_do() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE.read_text(), flags=re.M)
    for one in alerts():
        assert one["labels"]["severity"] in ("info", "warning", "critical")
        notes = one["annotations"]
        assert set(notes) == {"summary", "action", "runbook"}
        assert notes["summary"].endswith(".")
        assert notes["action"].endswith(".")
        assert notes["runbook"] == f"docs/monitoring.md#{one['alert'].lower()}"
        assert one["alert"] in headings


def test_each_limit_is_used_and_documented() -> None:
    groups = yaml.safe_load((CONFIG / "limits.yaml").read_text())["groups"]
    limits = {
        rule["labels"]["name"]: rule["expr"].removeprefix("vector(").removesuffix(")")
        for group in groups
        for rule in group["rules"]
    }
    used = (CONFIG / "alerts.yaml").read_text() + (CONFIG / "rules.yaml").read_text()
    assert set(re.findall(r'xray:limit\{name="(\w+)"\}', used)) == set(limits)
    documented = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE.read_text(), flags=re.M)
    assert dict(documented) == limits
