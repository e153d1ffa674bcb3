"""Who may do what on the pages: rights of Airflow's own, and one for identified images.

What a page shows is asked here. What changes a run is asked by Airflow's API, which the scripts of
the pages call with the login of the user: these functions only decide which buttons are shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import HTTPException, Request

from xray.airflow import config
from xray.airflow.forms import DAGS

IMAGES = "X-ray images"
"""The custom view that a role may read if it may see identified images and object keys."""

Check = Callable[[Request, Any], Any]

may_see_cases = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=config.CASE_DAG)
may_start_cases = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=config.CASE_DAG)
may_rerun_cases = requires_access_dag(
    "PUT", DagAccessEntity.TASK_INSTANCE, param_dag_id=config.CASE_DAG
)
may_open = {
    kind: requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=dag_id)
    for kind, dag_id in DAGS.items()
}
"""Asks whether the user may start runs of the DAG of each kind of form."""
may_answer = {
    kind: requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, param_dag_id=dag_id)
    for kind, dag_id in DAGS.items()
}
"""Asks whether the user may answer forms of each kind."""
may_backfill = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=config.BACKFILL_DAG)
may_replay = requires_access_dag("POST", DagAccessEntity.RUN, param_dag_id=config.REPLAY_DAG)
"""Asks whether the user may start runs of ``xray_replay``."""


def may_see_images(request: Request, user: GetUserDep) -> None:
    """Ask whether the user may see identified images and object keys.

    Airflow's simple auth manager does not tell custom views apart: it lets those see images who
    may start cases.

    Raises:
        HTTPException: 403 if the user may not.
    """
    manager = get_auth_manager()
    if isinstance(manager, SimpleAuthManager):
        may_start_cases(request, user)
    elif not manager.is_authorized_custom_view(method="GET", resource_name=IMAGES, user=user):
        raise HTTPException(403, f"This needs the right to read {IMAGES!r}.")


def has(check: Check, request: Request, user: Any) -> bool:
    """Return whether a check lets the user pass."""
    try:
        check(request, user)
    except HTTPException:
        return False
    return True


def whether(check: Check) -> Callable[[Request, GetUserDep], bool]:
    """Return a dependency of a route that tells whether a check lets the user pass."""

    def passes(request: Request, user: GetUserDep) -> bool:
        return has(check, request, user)

    return passes


images_shown = whether(may_see_images)
"""Tells whether pages show identified images and object keys to the user."""


def kinds_to_open(request: Request, user: GetUserDep) -> list[str]:
    """Return the kinds whose forms the user may open."""
    return [kind for kind, check in may_open.items() if has(check, request, user)]


def actions(request: Request, user: GetUserDep) -> set[str]:
    """Return what the user may do: ``rerun``, ``start``, ``backfill``, or the kind of a form."""
    checks = {
        "rerun": may_rerun_cases,
        "start": may_start_cases,
        "backfill": may_backfill,
        **{kind: check for kind, check in may_answer.items() if has(may_open[kind], request, user)},
    }
    return {name for name, check in checks.items() if has(check, request, user)}
