"""The dashboard queries only metrics and labels that Airflow and this package send"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

# Airflow has no public module for the registry of its metrics.
from airflow._shared.observability.metrics import metrics_registry  # noqa: PLC2701
from airflow.observability.metrics.statsd_logger import get_statsd_logger

from include.servers.processes import Child, free_port, wait_until
from include.servers.real.go_program import STATSD_EXPORTER, build_program
from tests.support import ROOT
from xray.airflow.listener import metrics

pytestmark = pytest.mark.timeout(900)  # The first test builds the exporter.
DASHBOARD = ROOT / "config" / "grafana" / "dashboards" / "xray.json"
VALUES = {"dag_id": "xray_case", "task_id": "fetch", "state": "failed", "job_id": "7"}
LAST = "xray.test.last"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def selected(query: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each metric of a query, and the labels in its selector."""
    for name, selector in re.findall(r"\b(airflow_\w+)(?:\{(.*?)\})?", query):
        yield name, set(re.findall(r"(\w+)\s*=", selector))


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Start the exporter with the stack's mapping; return its ports for StatsD and Prometheus."""
    if not shutil.which("go"):
        pytest.skip("there is no Go to build statsd_exporter with")
    statsd, web = free_port(), free_port()
    program = build_program(*STATSD_EXPORTER)
    mapping = ROOT / "config" / "metrics" / "statsd.yaml"
    child = Child(
        "statsd_exporter",
        [
            str(program),
            f"--statsd.mapping-config={mapping}",
            f"--statsd.listen-udp=127.0.0.1:{statsd}",
            "--statsd.listen-tcp=",
            f"--web.listen-address=127.0.0.1:{web}",
        ],
        env={},
        log=tmp_path_factory.mktemp("exporter") / "exporter.log",
    )
    try:
        wait_until(lambda: answers(web), "the exporter", seconds=30, children=[child])
        yield statsd, web
    finally:
        child.kill()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready").is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def exported(exporter: tuple[int, int]) -> dict[str, set[str]]:
    """Send every metric, and return the labels of each exported metric."""
    statsd, web = exporter
    with pytest.MonkeyPatch.context() as patch:
        compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
        for name, value in compose["x-airflow"]["environment"].items():
            if name.startswith("AIRFLOW__METRICS__"):
                patch.setenv(name, value)
        patch.setenv("AIRFLOW__METRICS__STATSD_HOST", "127.0.0.1")
        patch.setenv("AIRFLOW__METRICS__STATSD_PORT", str(statsd))
        backend = get_statsd_logger()
        patch.setattr(metrics, "Stats", backend)
        send_all_of_airflow(backend)
        send_all_of_the_package()
        backend.incr(LAST)

    def page() -> str:
        return httpx.get(f"http://127.0.0.1:{web}/metrics").text

    name = f"airflow_{LAST.replace('.', '_')}"
    wait_until(lambda: name in page(), "all metrics", seconds=30)
    labels = defaultdict(set)
    for metric, pairs in re.findall(r"^(airflow_\w+)(?:\{(.*)\})? ", page(), re.MULTILINE):
        labels[metric] |= set(re.findall(r"(\w+)=\"", pairs))
    return labels


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


def send_all_of_the_package() -> None:
    counters = ("received", "started", "duplicate", "skipped", "dead_lettered")
    assert all(f"{metrics.PREFIX}{name}`" in str(metrics.__doc__) for name in counters)
    metrics.count(dict.fromkeys(counters, 1))
    metrics.to_run(0.02)
    metrics.lag({0: 1, 1: 2})
    metrics.stalled(0)


def test_every_query_uses_exported_metrics_and_labels(exported: dict[str, set[str]]) -> None:
    assert len(queries()) > 20
    for query in queries():
        found = list(selected(query))
        assert found, query
        for name, labels in found:
            assert name in exported, query
            assert labels <= exported[name], query
            for grouped in re.findall(r"\bby \((.*?)\)", query):
                assert set(grouped.replace(" ", "").split(",")) <= exported[name], query


def test_every_metric_of_the_package_is_on_the_dashboard(exported: dict[str, set[str]]) -> None:
    shown = {name for query in queries() for name, _ in selected(query)}
    own = {name for name in exported if name.startswith("airflow_xray_notifications")}
    assert own - shown == {f"airflow_xray_notifications_to_run_{part}" for part in ("sum", "count")}


def test_a_partition_is_a_label(exported: dict[str, set[str]]) -> None:
    assert exported["airflow_xray_notifications_lag_partition"] == {"partition"}
    assert not any("partition_0" in name for name in exported)


def test_no_label_is_a_run_or_a_job(exported: dict[str, set[str]]) -> None:
    assert not {"run_id", "job_id"} & set().union(*exported.values())


def test_legends_name_labels_that_remain_after_grouping() -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = re.search(r"\bby \((.*?)\)", target["expr"])
            if grouped:
                assert named <= set(grouped[1].replace(" ", "").split(","))


def test_panels_use_the_provisioned_datasource() -> None:
    folder = ROOT / "config" / "grafana" / "provisioning"
    sources = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())
    (uid,) = [source["uid"] for source in sources["datasources"]]
    panels = dashboard()["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {uid}
    assert len({panel["id"] for panel in panels}) == len(panels)
    (provider,) = yaml.safe_load((folder / "dashboards" / "xray.yaml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    mounts = compose["services"]["grafana"]["volumes"]
    assert f"./config/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    scraped = yaml.safe_load((ROOT / "config" / "metrics" / "prometheus.yaml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["statsd-exporter:9102"]}]
