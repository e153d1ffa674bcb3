"""A backfill of a thousand objects whose worker is killed half-way"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from include.demo.api import Api
from include.demo.stack import Stack
from include.demo.verification import BUCKET
from include.servers.processes import wait_until
from tests.support import ROOT, workers
from xray.case import Buckets, Source

OBJECTS, WITH_RESULT = 1000, 250
LONG = 500.0
CASE = '''
"""A case with a single empty task: the test is about the runs that are started."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag


@dag(schedule=None, catchup=False, max_active_runs=64)
def xray_case() -> None:
    EmptyOperator(task_id="look")


xray_case()
'''


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack with the backfill and the light case DAG."""
    dags = tmp_path_factory.mktemp("dags")
    shutil.copy(ROOT / "dags" / "xray_backfill.py", dags)
    (dags / "xray_case.py").write_text(CASE)
    settings = {"AIRFLOW__XRAY__RETRY_SECONDS": "1", "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "2000"}
    home = tmp_path_factory.mktemp("stack")
    with Stack(
        home=home, dags=dags, listening=False, notify=False, airflow_settings=settings
    ) as stack:
        yield stack


def fill(stack: Stack) -> None:
    """Create the objects, and the results of some of them."""

    def put(number: int) -> None:
        key = f"{number % 7}/Ada Ashgrove {number}.jpeg"
        etag = stack.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())["ETag"].strip('"')
        if number < WITH_RESULT:
            stack.s3.put_object(
                Bucket=Buckets(BUCKET).processed,
                Key=Source(bucket=BUCKET, key=key).processed_key(),
                Body=b"",
                Metadata={"source-etag": etag},
            )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(OBJECTS)))


def test_a_backfill_that_is_killed_starts_each_once(stack: Stack) -> None:
    fill(stack)
    with stack.api() as api:
        body = {"logical_date": None, "conf": {"bucket": BUCKET}}
        run_id = api.post("/dags/xray_backfill/dagRuns", body)["dag_run_id"]
        path = f"/dags/xray_backfill/dagRuns/{run_id}"
        task = f"{path}/taskInstances/start_cases"

        def until(condition: Any, what: str) -> None:
            wait_until(condition, what, seconds=LONG, children=stack.children)

        until(lambda: started(api) >= 200, "the first 200 cases")
        progress = api.get(f"{task}/xcomEntries/progress")["value"]
        assert 0 < progress["objects"] < OBJECTS, "the progress is shown"
        workers.kill(api.get(task)["id"])
        until(lambda: api.get(path)["state"] in ("success", "failed"), "the end of the backfill")
        assert api.get(path)["state"] == "success"
        assert api.get(task)["try_number"] == 2
        counts = api.get(f"{task}/xcomEntries/return_value")["value"]
        runs = api.all("/dags/xray_case/dagRuns", "dag_runs", limit=2000)
    assert counts["with_result"] == WITH_RESULT
    found = Counter(Source.from_conf(run["conf"], stack.keyring).key for run in runs)
    assert len(runs) == OBJECTS - WITH_RESULT
    assert set(found.values()) == {1}
    assert counts["started"] < len(runs), "some were started before the worker was killed"


def started(api: Api) -> int:
    """Return the number of cases."""
    return int(api.get("/dags/xray_case/dagRuns", limit=1)["total_entries"])
