"""Verify all cases of the local stack: ``python -m include.stack.check``.

Scores every object of the input bucket, waits until its case has ended, and compares the published
images and the audit records with the expected result. The exit status is 0 if everything is right.
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

from include.demo.api import Api
from include.demo.run import PATIENCE, object_key, watch
from include.demo.verification import (
    BUCKET,
    Case,
    expected_results,
    unexpected_objects,
    verify_case,
)
from include.servers.processes import Child, StartError, wait_until
from include.stack import store
from xray import audit
from xray.airflow.config import CASE_DAG, SETTINGS_VARIABLE
from xray.case import Buckets
from xray.errors import XrayError
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.storage import ObjectStore


@dataclass
class LocalStack:
    """The stack, as seen from one of its containers."""

    s3: Any = field(default_factory=store.client)
    keyring: Keyring = field(
        default_factory=lambda: Keyring.from_text(os.environ["XRAY_PSEUDONYM_SECRET"])
    )
    children: Sequence[Child] = ()


def main() -> int:
    """Run the command line; return its exit status."""
    try:
        return check()
    except (XrayError, StartError, httpx.HTTPError) as error:
        print(f"The check could not be completed: {error}")
        return 1


def check() -> int:
    """Verify every case; return 0 if all are right."""
    url, login = os.environ["AIRFLOW_URL"], ("admin", os.environ["AIRFLOW_ADMIN_PASSWORD"])
    wait_until(lambda: _answers(url), "Airflow's API", seconds=PATIENCE)
    with Api(url, *login) as api, tempfile.TemporaryDirectory() as folder:
        # In a new stack, the API answers before the DAG processor has read the DAG files.
        wait_until(lambda: _knows_dag(api), f"DAG {CASE_DAG}", seconds=PATIENCE)
        stack = LocalStack()
        objects, settings = ObjectStore(stack.s3), pipeline_settings(api)
        uploaded = download(objects, Path(folder))
        expected = expected_results(Path(folder), settings)
        cases = [Case(expected=one, uploaded=uploaded[one.key]) for one in expected]
        watch(stack, api, cases)
        wrong = [(case, verify_case(case, objects, settings)) for case in cases]
        found = api.all(f"/dags/{CASE_DAG}/dagRuns", "dag_runs")
    # Runs stay when their object is removed, as python -m xray check --send does with its image.
    keys = [object_key(run["conf"], stack.keyring) for run in found]
    runs = sum(key in uploaded for key in keys)
    # The keys are not printed: they name patients.
    problems = [f"{case.case_id}: {reason}" for case, reasons in wrong for reason in reasons]
    problems += unexpected_objects(cases, objects)
    if runs > len(cases):
        problems.append(f"There are {runs} runs, and {len(cases)} objects.")
    verdict = audit.verify(audit_records(objects), stack.keyring.secrets)
    problems += [f"audit record {problem.name}: {problem.reason}" for problem in verdict.problems]
    print("\n".join(problems), end="\n" * bool(problems))
    right = sum(not reasons for _, reasons in wrong)
    print(
        f"{right} of {len(cases)} cases came out right: {runs} runs, "
        f"{verdict.records} audit records of {verdict.cases} cases."
    )
    return 1 if problems or not cases else 0


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/version").is_success
    except httpx.HTTPError:
        return False


def _knows_dag(api: Api) -> bool:
    try:
        api.get(f"/dags/{CASE_DAG}")
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return False
    return True


def pipeline_settings(api: Api) -> Settings:
    """Return the settings of the pipeline, from its Variable."""
    try:
        stored = api.get(f"/variables/{SETTINGS_VARIABLE}")["value"]
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return Settings()
    return Settings.from_mapping(json.loads(stored))


def download(objects: ObjectStore, folder: Path) -> dict[str, float]:
    """Copy every object of the input bucket to ``folder``.

    Returns:
        The time of each upload by its key, in seconds since the epoch.

    Raises:
        SystemExit: a key would be a path outside ``folder``.
    """
    uploaded = {}
    for entry in objects.list(BUCKET):
        path = (folder / entry.key).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise SystemExit(
                "The key of an object is a path outside the folder: remove the object."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(objects.get(BUCKET, entry.key).data)
        uploaded[entry.key] = entry.modified.timestamp()
    return uploaded


def audit_records(objects: ObjectStore) -> list[tuple[str, bytes]]:
    """Return the name and the content of each audit record."""
    bucket = Buckets(BUCKET).audit
    return [(entry.key, objects.get(bucket, entry.key).data) for entry in objects.list(bucket)]


if __name__ == "__main__":
    sys.exit(main())
