"""The rules that all DAGs keep, and the case DAG from end to end"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.support import KEYRING, ROOT, SECRET
from xray.case import Source
from xray.case.forget import removal_conf
from xray.settings import case_settings

IN_ORDER = [
    "xray_case",
    "xray_listener",
    "xray_review",
    "xray_release",
    "xray_backfill",
    "xray_replay",
    "xray_reconcile",
    "xray_forget",
    "xray_checkpoint",
    "xray_watch",
]
"""The order in which a person meets the DAGs, and in which the UI lists them."""
NAMES = set(IN_ORDER)
BUCKET = "xray-data-in"


@pytest.fixture(scope="module")
def database() -> None:
    """Airflow's tables, in the tests' own AIRFLOW_HOME."""
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def dags(database: None) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"), bundle_name="dags-folder")
    assert bag.import_errors == {}
    return dict(bag.dags)


def test_there_are_no_other_dags(dags: dict[str, Any]) -> None:
    assert set(dags) == NAMES
    assert {path.stem for path in (ROOT / "dags").glob("*.py")} == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_keeps_the_rules(dags: dict[str, Any], name: str) -> None:
    dag = dags[name]
    assert dag.doc_md
    assert "###" in dag.doc_md
    assert "xray" in dag.tags
    assert not dag.catchup
    for task in dag.tasks:
        assert task.owner == "xray"
        assert task.retries >= 1


def test_the_ui_lists_the_dags_in_order(dags: dict[str, Any]) -> None:
    """It sorts the names that it shows as texts."""
    assert sorted(dags, key=lambda name: dags[name].dag_display_name) == IN_ORDER
    first = dags["xray_case"]
    assert first.dag_display_name == "X-ray 01 · Case"
    assert [task.task_display_name for task in first.topological_sort()] == [
        "Fetch",
        "Classify",
        "Annotate",
        "Anonymise",
        "Store",
    ]


def test_the_steps_of_a_case_run_in_order(dags: dict[str, Any]) -> None:
    order = [task.task_id for task in dags["xray_case"].topological_sort()]
    assert order == ["fetch", "classify", "annotate", "anonymize", "store"]
    for task in dags["xray_case"].tasks:
        assert task.retry_policy is not None
        assert task.execution_timeout is not None
    assert dags["xray_case"].on_failure_callback, "for a case whose workers died"


def test_the_graph_shows_which_buckets_are_read_and_written(dags: dict[str, Any]) -> None:
    """No DAG is scheduled on an asset: see the schedules below."""
    written = ["processed", "anonymized", "quarantine", "audit"]
    for name in ("xray_case", "xray_review"):
        store = dags[name].get_task("store")
        assert [asset.name for asset in store.inlets] == [BUCKET]
        assert [asset.name for asset in store.outlets] == [f"{BUCKET}-{one}" for one in written]
    (release,) = dags["xray_release"].tasks
    assert [asset.name for asset in release.outlets] == [f"{BUCKET}-anonymized"]
    with_assets = {
        f"{name}.{task.task_id}"
        for name, dag in dags.items()
        for task in dag.tasks
        if task.inlets or task.outlets
    }
    assert with_assets == {"xray_case.store", "xray_review.store", "xray_release.release"}


def asset_events() -> list[str]:
    """The assets of all events in Airflow's database, the oldest first."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        events = session.scalars(select(AssetEvent).order_by(AssetEvent.id))
        return [event.asset.name for event in events]


def test_only_the_listener_and_the_watch_have_a_schedule(dags: dict[str, Any]) -> None:
    schedules = {name: dag.schedule for name, dag in dags.items() if dag.schedule}
    assert schedules == {"xray_listener": "@continuous", "xray_watch": "@continuous"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_default_params_are_valid(dags: dict[str, Any], name: str) -> None:
    """The UI sends an empty text as null, which a param must allow to be valid."""
    for param in dags[name].params.values():
        assert param != ""
    dags[name].params.validate()


def test_every_setting_of_a_case_is_in_the_form(dags: dict[str, Any]) -> None:
    params = dags["xray_case"].params
    for name, schema in case_settings().items():
        param = params.get_param(name)
        assert param.value is None
        assert param.schema["type"] == ["null", schema["type"]]
        assert param.description == schema["description"]
        param.resolve(None)
    with pytest.raises(ParamValidationError):
        params.get_param("normal_below").resolve(1.5)
    with pytest.raises(ParamValidationError):
        params.get_param("anonymize").resolve("sometimes")


@pytest.mark.parametrize(
    ("name", "trigger"),
    [
        ("xray_listener", "xray.airflow.listener.trigger.NotificationTrigger"),
        ("xray_watch", "xray.airflow.watch.trigger.WatchTrigger"),
    ],
)
def test_a_task_that_never_ends_goes_straight_to_the_triggerer(
    dags: dict[str, Any], name: str, trigger: str
) -> None:
    (sensor,) = dags[name].tasks
    assert sensor.start_from_trigger
    assert sensor.start_trigger_args.trigger_cls == trigger
    assert dags[name].max_active_runs == 1
    assert dags[name].start_date is not None


HEAVY = (
    "tensorflow",
    "keras",
    "PIL",
    "boto3",
    "botocore",
    "ai_edge_litert",
    "confluent_kafka",
    "cv2",
    "onnxruntime",
)
IMPORT = """
import os, sys
from airflow.sdk import dag, task
before = set(sys.modules)
sys.path.insert(0, "dags")
for name in sys.argv[1:]:
    if not (child := os.fork()):
        __import__(name)
        print(name, *{m.split(".")[0] for m in set(sys.modules) - before}, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """Return the packages that each DAG file imports, each in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *NAMES],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: set(packages) for name, *packages in lines}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_dag_file_imports_nothing_heavy(imported: dict[str, set[str]], name: str) -> None:
    assert "xray" in imported[name]
    assert imported[name].isdisjoint(HEAVY)


PLUGINS = ROOT / "plugins"
PLAIN = sorted(
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts).removesuffix(".__init__")
    for path in (PLUGINS / "xray").rglob("*.py")
    if path.name != "__main__.py"
    and path.relative_to(PLUGINS / "xray").parts[0] not in ("airflow", "web")
)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_module_knows_no_airflow(name: str) -> None:
    code = f"import sys, {name}; print('airflow' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]


def test_the_package_is_not_loaded_as_a_plugin() -> None:
    """Otherwise, Airflow would import the package a second time, under another name."""
    code = (
        "import sys; from airflow.plugins_manager import _get_plugins, get_import_errors; "
        "_get_plugins(); print(get_import_errors(), [m for m in sys.modules if 'xray' in m])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "{} ['xray_plugin']"


@pytest.fixture
def connected(s3_connection: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    return s3_connection


def run_case(dags: dict[str, Any], s3: Any, content: bytes) -> tuple[str, dict[str, str], Source]:
    """Run a case with ``dag.test()``; return the states of run and tasks, and the source."""
    key = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
    etag = s3.put_object(Bucket=BUCKET, Key=key, Body=content)["ETag"].strip('"')
    source = Source(bucket=BUCKET, key=key, etag=etag, size=len(content))
    run = dags["xray_case"].test(run_conf=source.to_conf(KEYRING))
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    return str(run.state), states, source


def keys(s3: Any, bucket: str) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_a_sick_case_goes_through_all_steps(
    dags: dict[str, Any], connected: Any, demo_images: list[Path]
) -> None:
    sick = next(path for path in demo_images if "Bruno" in path.name).read_bytes()
    before = asset_events()
    state, states, source = run_case(dags, connected, sick)
    assert state == "success", states
    assert set(states.values()) == {"success"}
    assert keys(connected, f"{BUCKET}-processed") == [source.processed_key()]
    name = source.anonymized_keys(KEYRING, str(source.etag), ".jpeg")[0]
    assert keys(connected, f"{BUCKET}-anonymized") == [name, f"{name}.json"]
    assert keys(connected, f"{BUCKET}-staging") == []
    assert asset_events() == [*before, f"{BUCKET}-anonymized"]


def test_a_healthy_case_skips_anonymisation_and_is_stored(
    dags: dict[str, Any], connected: Any, demo_images: list[Path]
) -> None:
    healthy = next(path for path in demo_images if path.parent.name == "NORMAL").read_bytes()
    before = asset_events()
    state, states, source = run_case(dags, connected, healthy)
    assert state == "success", states
    assert states["anonymize"] == "skipped"
    assert states["store"] == "success"
    assert keys(connected, f"{BUCKET}-processed") == [source.processed_key()]
    assert keys(connected, f"{BUCKET}-anonymized") == []
    assert asset_events() == before, "a plain case records no event"


def test_an_object_that_is_no_image_fails_at_once_and_is_recorded(
    dags: dict[str, Any], connected: Any
) -> None:
    state, states, source = run_case(dags, connected, b"a letter")
    assert state == "failed"
    assert states["fetch"] == "failed"
    (name,) = keys(connected, f"{BUCKET}-audit")
    assert name == f"{source.case_id(KEYRING)}/00001.json"
    record = json.loads(connected.get_object(Bucket=f"{BUCKET}-audit", Key=name)["Body"].read())
    assert record["outcome"] == "failed"
    assert record["run"]["task"] == "fetch"
    assert record["kind"] == "permanent"
    assert "neither JPEG, PNG, TIFF nor DICOM" in record["error"]
    assert keys(connected, f"{BUCKET}-processed") == []


def test_a_case_is_forgotten_by_its_id(
    dags: dict[str, Any], connected: Any, demo_images: list[Path]
) -> None:
    healthy = next(path for path in demo_images if path.parent.name == "NORMAL").read_bytes()
    _, _, source = run_case(dags, connected, healthy)
    connected.delete_object(Bucket=BUCKET, Key=source.key)
    run = dags["xray_forget"].test(run_conf={"case_id": source.case_id(KEYRING)})
    assert str(run.state) == "success"
    for name in ("processed", "staging", "manifests"):
        assert keys(connected, f"{BUCKET}-{name}") == []
    (name,) = keys(connected, f"{BUCKET}-audit")
    content = connected.get_object(Bucket=f"{BUCKET}-audit", Key=name)["Body"].read()
    assert json.loads(content)["outcome"] == "deleted"
    assert b"Ada" not in content


def test_a_sealed_key_is_enough_to_forget_an_object(dags: dict[str, Any], connected: Any) -> None:
    _, states, source = run_case(dags, connected, b"a letter")
    assert states["fetch"] == "failed"
    connected.delete_object(Bucket=BUCKET, Key=source.key)
    # ``dag.test()`` keeps the params of the run before.
    conf = {"case_id": None, **removal_conf(source, KEYRING)}
    run = dags["xray_forget"].test(run_conf=conf)
    assert str(run.state) == "success"
    (name,) = keys(connected, f"{BUCKET}-audit")
    content = connected.get_object(Bucket=f"{BUCKET}-audit", Key=name)["Body"].read()
    assert json.loads(content)["deletion"]["by"] is None
    assert b"Ada" not in content
