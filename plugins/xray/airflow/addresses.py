"""The addresses of what :mod:`xray.web` serves, and of the forms in Airflow's UI."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from airflow.configuration import conf

from xray.case.manifest import Request
from xray.case.pictures import View

PLUGIN_PREFIX = "/xray"
"""Where Airflow mounts the plugin's app."""
REVIEW = "/review/{bucket}/{case_id}/{claim}/{view}"
"""The annotated image of a case that waits for a review."""
QUARANTINE = "/quarantine/{bucket}/{case_id}/{claim}/{view}"
"""The quarantined image of a case."""
CASES = "/cases"
"""The page with all cases."""
SEARCH = "/cases/search"
"""Finds the cases of an object or of a patient."""
START = "/start"
"""The page on which cases are started from the listing of a bucket."""
START_FOLDER = "/start/folder"
"""Lists a folder of the bucket."""
START_CASES = "/start/cases"
"""Prepares the runs of cases."""
START_BACKFILL = "/start/backfill"
"""Prepares the run of a backfill of a folder."""
DEAD_LETTERS = "/dead-letters"
"""The page with the newest dead letters."""
CASE = "/cases/{case_id}"
"""The page of a case."""
PICTURE = "/cases/{case_id}/pictures/{picture}/{view}"
"""A picture of a case."""
THUMBNAIL = "/thumbnails/{bucket}/{case_id}"
"""The thumbnail of a case."""
AGAIN = "/cases/{case_id}/again"
"""Prepares the run of a new case of the same image."""
RUN = "/runs/{run_id}"
"""The page of the case that a run is about."""
WAITING = "/waiting"
"""The page with the cases that wait for a person."""
OPEN_REVIEW = "/waiting/review/{case_id}/{claim}"
"""Opens the form of a case that waits for a review."""
OPEN_RELEASE = "/waiting/release/{case_id}/{claim}"
"""Opens the form of a case whose quarantined image waits for a decision."""


def picture_addresses(path: str, bucket: str, request: Request) -> dict[str, Any]:
    """Return the addresses of the pictures of a request by their views, without scheme and host.

    Args:
        path: the route: :data:`REVIEW` or :data:`QUARANTINE`.
        bucket: the bucket in which the image landed.
        request: what the person is asked; its ``claim`` is in the result, too.
    """
    return {
        "claim": request.claim,
        **{
            view.value: picture_address(path, bucket, request.case_id, request.claim, view)
            for view in View
        },
    }


def picture_address(path: str, bucket: str, case_id: str, claim: int, view: View) -> str:
    """Return the address of a picture of a waiting case, without scheme and host.

    Args:
        path: the route: :data:`REVIEW` or :data:`QUARANTINE`.
        bucket: the bucket in which the image landed.
        case_id: the case.
        claim: the number of the claim under which the case asks.
        view: the view of the image.
    """
    route = path.format(bucket=bucket, case_id=case_id, claim=claim, view=view.value)
    return f"{_base()}{PLUGIN_PREFIX}{route}"


def case_address(case_id: str) -> str:
    """Return the address of the page of a case, without scheme and host."""
    return f"{_base()}{PLUGIN_PREFIX}{CASE.format(case_id=quote(case_id, safe=''))}"


def case_link(case_id: str) -> str:
    """Return the address of the page of a case, with scheme and host as for :func:`run_address`."""
    return f"{_base_url()}{PLUGIN_PREFIX}{CASE.format(case_id=quote(case_id, safe=''))}"


def form_address(dag_id: str, run_id: str, task_id: str) -> str:
    """Return the address of a form in Airflow's UI, without scheme and host.

    Source: ``HITLOperator.generate_link_to_ui``, which needs the task to be running.
    """
    return f"{ui_run_address(dag_id, run_id)}/tasks/{task_id}/required_actions"


def ui_run_address(dag_id: str, run_id: str) -> str:
    """Return the address of a run in Airflow's UI, without scheme and host."""
    return f"{_base()}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def ui_task_address(dag_id: str, run_id: str, task_id: str, try_number: int) -> str:
    """Return the address of the log of a try of a task, without scheme and host."""
    run = ui_run_address(dag_id, run_id)
    return f"{run}/tasks/{quote(task_id)}?try_number={try_number}"


def api_address() -> str:
    """Return the address of Airflow's public API, without scheme and host."""
    return f"{_base()}/api/v2"


def run_address(dag_id: str, run_id: str) -> str:
    """Return the address of a run in Airflow's UI.

    It has no scheme and host if ``[api] base_url`` is not set.
    """
    return f"{runs_address(dag_id)}/{quote(run_id)}"


def runs_address(dag_id: str) -> str:
    """Return the address of the runs of a DAG in Airflow's UI, as for :func:`run_address`."""
    return f"{_base_url()}/dags/{quote(dag_id)}/runs"


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback=None) or "").rstrip("/")


def _base() -> str:
    """Return the path under which Airflow is served; empty for none."""
    return urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/")
