"""The dashboards and the rules query only what Airflow and this package send"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml

# Airflow has no public module for the registry of its metrics.
from airflow._shared.observability.metrics import metrics_registry  # noqa: PLC2701
from airflow.observability.metrics.statsd_logger import get_statsd_logger
from airflow.sdk import BaseNotifier

from include.servers.processes import wait_until
from include.servers.real.prometheus import CONFIG, StatsdExporter
from tests.support import KEYRING, ROOT
from xray.airflow import notices
from xray.airflow.case import metrics as case_metrics
from xray.airflow.listener import metrics as listener_metrics
from xray.airflow.watch import metrics as watch_metrics
from xray.case import Decision, Outcome, Pinned, Scored, Source
from xray.errors import ImageError
from xray.settings import Settings

pytestmark = pytest.mark.timeout(900)  # The first test builds the exporter.
FOLDER = ROOT / "config" / "grafana" / "dashboards"
DASHBOARDS = ("operations", "images")
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity"}}
"""The series that Prometheus itself makes, with their labels."""
VALUES = {"dag_id": "xray_case", "task_id": "fetch", "state": "failed", "job_id": "7"}
LAST = "xray.test.last"


def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def queries(name: str) -> list[str]:
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load((CONFIG / f"{name}.yaml").read_text()) for name in RULE_FILES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


RULE_FILES = ("limits", "rules", "alerts")


def selected(query: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric of a query, and the labels in its selector."""
    names = r"(airflow_\w+|xray:[\w:]+|\bALERTS\b|\bup\b)(?:\{(.*?)\})?"
    for name, selector in re.findall(names, query):
        yield name, set(re.findall(r"(\w+)\s*!?=", selector))


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatsdExporter]:
    """Start the exporter with the stack's mapping."""
    if not shutil.which("go"):
        pytest.skip("there is no Go to build statsd_exporter with")
    with StatsdExporter(tmp_path_factory.mktemp("exporter")) as exporter:
        yield exporter


@pytest.fixture(scope="module")
def exported(exporter: StatsdExporter) -> dict[str, set[str]]:
    """Send every metric, and return the labels of each exported metric."""
    with pytest.MonkeyPatch.context() as patch:
        compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
        for name, value in compose["x-airflow"]["environment"].items():
            if name.startswith("AIRFLOW__METRICS__"):
                patch.setenv(name, value)
        patch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        patch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(exporter.statsd_port))
        backend = get_statsd_logger()
        for module in (listener_metrics, watch_metrics):
            patch.setattr(module, "Stats", backend)
        for module in (case_metrics, notices):
            patch.setattr(module, "process_stats", lambda: backend)
        send_all_of_airflow(backend)
        send_all_of_the_listener()
        send_all_of_the_cases()
        send_all_of_the_watch()
        send_all_of_the_notices(patch)
        backend.incr(LAST)

    def page() -> str:
        return httpx.get(f"{exporter.url}/metrics").text

    name = f"airflow_{LAST.replace('.', '_')}"
    wait_until(lambda: name in page(), "all metrics", seconds=30)
    labels = defaultdict(set)
    for metric, pairs in re.findall(r"^(airflow_\w+)(?:\{(.*)\})? ", page(), re.MULTILINE):
        labels[metric] |= set(re.findall(r"(\w+)=\"", pairs))
    return labels


@pytest.fixture(scope="module")
def known(exported: dict[str, set[str]]) -> dict[str, set[str]]:
    """The labels of each metric, and of what Prometheus and its rules make."""
    return {**exported, **OF_PROMETHEUS, **recorded()}


def recorded() -> dict[str, set[str]]:
    """The labels of what the rules record."""
    found: dict[str, set[str]] = defaultdict(set)
    for rule in rules():
        if "record" in rule:
            found[rule["record"]] |= set(rule.get("labels", ()))
    for name in ("xray:cases:5m", "xray:cases:day", "xray:cases:before"):
        found[name] |= {"of", "category"}
    for name in ("xray:share:day", "xray:share:before"):
        found[name] |= {"of", "category"}
    found["xray:drift:psi"] |= {"of"}
    return found


def send_all_of_airflow(backend: Any) -> None:
    """Send every metric of Airflow's registry, with the tags that are always present."""
    registry = Path(metrics_registry.YAML_REGISTRY_PATH)
    known = metrics_registry.read_metrics_yaml(str(registry))
    assert len(known) > 100
    for metric in known:
        tags = {name: VALUES.get(name, "some") for name in metric.get("name_variables", ())}
        name = metric["name"].format(**tags)
        if metric["type"] == "counter":
            backend.incr(name, tags=tags)
        elif metric["type"] == "gauge":
            backend.gauge(name, 1, tags=tags)
        else:
            backend.timing(name, 5.0, tags=tags)


def documented(module: ModuleType) -> dict[str, str]:
    """The metrics in the docstring of a module, with their kinds."""
    return dict(re.findall(r"^\| `(xray\.[\w.]+)` \| (\w+)", str(module.__doc__), re.MULTILINE))


def send_all_of_the_listener() -> None:
    counters = ("received", "started", "duplicate", "skipped", "dead_lettered")
    listener_metrics.count(dict.fromkeys(counters, 1))
    listener_metrics.lost(1)
    listener_metrics.heartbeat()
    listener_metrics.to_run(0.02)
    listener_metrics.lag({0: 1, 1: 2})
    listener_metrics.lag_unknown("listen_1", 0)
    listener_metrics.stalled("listen_1", 0)
    listener_metrics.blocked("listen_1", 0)
    listener_metrics.paused(False)


def send_all_of_the_cases() -> None:
    now = datetime.now(UTC).isoformat()
    source = Source(bucket="xray-data-in", key="k.png", etag="e", origin="ceph", event_time=now)
    pinned = Pinned(
        case_id=source.case_id(KEYRING),
        version_id=None,
        etag="e",
        sha256="0" * 64,
        size=1,
        modified=now,
        format="PNG",
        width=640,
        height=480,
        settings=Settings().to_mapping(),
    )
    shadow = {"model": "m-2", "risk": 0.91, "label": "Pneumonia", "refused": None}
    for refused in (None, "upside down"):
        scored = Scored(risk=0.93, label="Pneumonia", model="m-1", refused=refused, shadow=shadow)
        for decision in Decision:
            outcome = Outcome(
                case_id=pinned.case_id, label="Pneumonia", risk=0.9, decision=decision, attempt=1
            )
            case_metrics.finished(source, pinned, scored, outcome, {"regions": 2})
        case_metrics.decided(source, pinned, scored, Decision.ANONYMIZED, masked=1)
    task = SimpleNamespace(task_id="fetch", try_number=1, xcom_push=lambda **_: None)
    case_metrics.failed(task, ImageError("It is no image."))


def send_all_of_the_watch() -> None:
    names = [name for name, kind in documented(watch_metrics).items() if kind == "gauge"]
    watch_metrics.gauges({name.removeprefix("xray."): 1.0 for name in names})
    watch_metrics.heartbeat()


class Quiet(BaseNotifier):
    """A notifier that reaches nobody."""

    def notify(self, context: Any) -> None:
        """Do nothing."""


def send_all_of_the_notices(patch: pytest.MonkeyPatch) -> None:
    paths = (f"{__name__}.Quiet", "no.such.Notifier")
    entries = [{"notifier": path, "on": ["failed"]} for path in paths]
    patch.setenv("AIRFLOW_VAR_XRAY_NOTICES", json.dumps(entries))
    notices.tell(
        notices.Event.FAILED, dag_id="xray_case", run_id="xray__1", sentence="It has failed."
    )


def test_every_metric_of_the_package_is_sent_here(exported: dict[str, set[str]]) -> None:
    """The tests below are worth as much as what is sent for them."""
    for module in (listener_metrics, case_metrics, watch_metrics):
        assert documented(module)
        for name, kind in documented(module).items():
            base = re.sub(r"\.(partition_N|SENSOR)$", "", name).replace(".", "_")
            found = {one for one in exported if one.startswith(f"airflow_{base}")}
            assert found, f"{name}, a {kind}"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_query_uses_exported_metrics_and_labels(
    known: dict[str, set[str]], name: str
) -> None:
    assert len(queries(name)) > 20
    for query in queries(name):
        check_query(query, known)


def test_every_rule_uses_exported_metrics_and_labels(known: dict[str, set[str]]) -> None:
    used = [rule["expr"] for rule in rules() if not rule["expr"].startswith("vector(")]
    assert len(used) > 20
    for query in used:
        check_query(query, known)


def check_query(query: str, known: dict[str, set[str]]) -> None:
    found = list(selected(query))
    assert found, query
    made = set(re.findall(r'"(\w+)", "[^"]*", "\w*", "', query))  # By label_replace.
    grouped = {
        label
        for labels in re.findall(r"\bby \((.*?)\)", query)
        for label in labels.replace(" ", "").split(",")
    }
    available = made.union(*(known.get(name, ()) for name, _ in found))
    for name, labels in found:
        assert name in known, f"{name} in {query}"
        assert labels <= known[name], query
    assert grouped <= available, query


def test_every_metric_of_the_package_is_on_a_dashboard(exported: dict[str, set[str]]) -> None:
    shown = {
        name for board in DASHBOARDS for query in queries(board) for name, _ in selected(query)
    }
    own = {name for name in exported if name.startswith("airflow_xray_")} - {
        "airflow_xray_test_last"
    }
    parts = {
        f"airflow_xray_{name}_{part}"
        for name in ("notifications_to_run", "cases_to_result")
        for part in ("sum", "count")
    }
    assert own - shown == parts


def test_a_partition_and_a_sensor_are_labels(exported: dict[str, set[str]]) -> None:
    assert exported["airflow_xray_notifications_lag_partition"] == {"partition"}
    for name in ("lag_unknown", "stalled", "blocked"):
        assert exported[f"airflow_xray_notifications_{name}"] == {"sensor"}
    assert not any("partition_0" in name or "listen_1" in name for name in exported)


def test_no_label_is_a_run_or_a_job(exported: dict[str, set[str]]) -> None:
    assert not {"run_id", "job_id"} & set().union(*exported.values())


@pytest.mark.parametrize("name", DASHBOARDS)
def test_legends_name_labels_that_remain_after_grouping(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = re.search(r"\bby \((.*?)\)", target["expr"])
            if grouped:
                assert named <= set(grouped[1].replace(" ", "").split(","))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_colours_are_those_of_series_that_are_there(name: str) -> None:
    for panel in panels(name):
        legends = {target["legendFormat"] for target in panel["targets"]}
        if any("{{" in legend for legend in legends):
            continue
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in legends


def test_panels_use_the_provisioned_datasource() -> None:
    folder = ROOT / "config" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())
    (uid,) = [source["uid"] for source in sources["datasources"]]
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(DASHBOARDS)
    for name in DASHBOARDS:
        assert {panel["datasource"]["uid"] for panel in panels(name)} == {uid}
        every = dashboard(name)["panels"]
        assert len({panel["id"] for panel in every}) == len(every)
    (provider,) = yaml.safe_load((folder / "dashboards" / "xray.yaml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    grafana = compose["services"]["grafana"]
    assert f"./config/grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/operations.json"


def test_prometheus_has_the_rules_and_the_time_that_they_look_back() -> None:
    scraped = yaml.safe_load((CONFIG / "prometheus.yaml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["statsd-exporter:9102"]}]
    assert scraped["rule_files"] == [f"{name}.yaml" for name in RULE_FILES]
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    prometheus = compose["services"]["prometheus"]
    for name in ("prometheus", *RULE_FILES):
        mount = f"./config/metrics/{name}.yaml:/etc/prometheus/{name}.yaml:ro"
        assert mount in prometheus["volumes"]
    (kept,) = re.findall(r"retention\.time=(\d+)d", " ".join(prometheus["command"]))
    assert int(kept) >= 45
