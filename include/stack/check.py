"""Whether every case of the stack came out right: ``python -m include.stack.check``.

Takes every object of the input bucket, scores it here, waits until its case has ended, and looks at
what was published and recorded. Ends with 0 if all is right.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from include.demo.judge import BUCKET, Case, expectations, judge, leftovers
from include.demo.run import PATIENCE, watch
from include.demo.stack import Api
from include.servers.processes import Child, StartError, wait_until
from include.stack import store
from xray import audit
from xray.airflow.config import CASE_DAG, SETTINGS_VARIABLE
from xray.case import Buckets
from xray.errors import XrayError
from xray.settings import Settings
from xray.storage import ObjectStore


@dataclass
class Running:
    """The stack, seen from one of its containers."""

    s3: Any = field(default_factory=store.client)
    children: Sequence[Child] = ()


def main() -> int:
    """The command line."""
    try:
        return check()
    except (XrayError, StartError, httpx.HTTPError) as error:
        print(f"Not all could be looked at: {error}")
        return 1


def check() -> int:
    """Look at every case; 0 if all are right."""
    url, login = os.environ["AIRFLOW_URL"], ("admin", os.environ["AIRFLOW_ADMIN_PASSWORD"])
    wait_until(lambda: _answers(url), "An answer of Airflow's API", seconds=PATIENCE)
    with Api(url, *login) as api, tempfile.TemporaryDirectory() as folder:
        running = Running()
        objects, settings = ObjectStore(running.s3), deployed(api)
        uploaded = download(objects, Path(folder))
        expected = expectations(Path(folder), settings)
        cases = [Case(expected=one, uploaded=uploaded[one.key]) for one in expected]
        watch(running, api, cases)
        wrong = [(case, judge(case, objects, settings)) for case in cases]
        runs = api.all(f"/dags/{CASE_DAG}/dagRuns", "dag_runs")
    # No key is printed: it names a patient.
    problems = [f"{case.case_id}: {reason}" for case, reasons in wrong for reason in reasons]
    problems += leftovers(cases, objects)
    if len(runs) > len(cases):
        problems.append(f"There are {len(runs)} runs, and {len(cases)} objects.")
    verdict = audit.verify(recorded(objects))
    problems += [f"audit record {problem.name}: {problem.reason}" for problem in verdict.problems]
    print("\n".join(problems), end="\n" * bool(problems))
    right = sum(not reasons for _, reasons in wrong)
    print(
        f"{right} of {len(cases)} cases came out right: {len(runs)} runs, "
        f"{verdict.records} audit records of {verdict.cases} cases."
    )
    return 1 if problems or not cases else 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/version").is_success
    except httpx.HTTPError:
        return False


def deployed(api: Api) -> Settings:
    """The settings that the pipeline goes by."""
    try:
        stored = api.get(f"/variables/{SETTINGS_VARIABLE}")["value"]
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return Settings()
    return Settings.from_mapping(json.loads(stored))


def download(objects: ObjectStore, folder: Path) -> dict[str, float]:
    """Every object of the input bucket; when each was uploaded, in seconds since the epoch."""
    uploaded = {}
    for entry in objects.list(BUCKET):
        path = (folder / entry.key).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise SystemExit("An object's key leads out of every folder; remove that object.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(objects.read(BUCKET, entry.key).data)
        uploaded[entry.key] = entry.modified.timestamp()
    return uploaded


def recorded(objects: ObjectStore) -> list[tuple[str, bytes]]:
    """The audit trail: each record's name and content."""
    bucket = Buckets(BUCKET).audit
    return [(entry.key, objects.read(bucket, entry.key).data) for entry in objects.list(bucket)]


if __name__ == "__main__":
    sys.exit(main())
