"""A client of Airflow's public REST API: DAG runs, their notes, and who cleared them.

The id of a run is derived from the object that it processes, so starting the
same run twice gives one run: the API answers the second request with HTTP 409,
and the run is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlencode

from xray.airflow import config, connections
from xray.airflow.session import ApiSession, api_error
from xray.errors import BlockedError, PermanentError, TransientError, XrayError

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_NOTE = 1000
"""The longest note that the API accepts, in characters."""
PAGE = 50
"""Runs in one answer of the API."""
ACTIVE_STATES = ["queued", "running"]
"""The states of a run that has not ended."""


class Started(Enum):
    """The result of starting a run; the values are names of counters in logs and metrics."""

    NEW = "started"
    DUPLICATE = "duplicate"


class RunRefusedError(PermanentError):
    """The API refuses this run; other runs may start."""


class RunFailedError(TransientError):
    """The API fails while it starts this run. The run may be the reason."""


class RunsClient(ApiSession):
    """A client of the API, logged in as an account that may start runs."""

    async def start(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> Started:
        """Start a run, unless a run with this id exists.

        Raises:
            RunRefusedError: the API refuses this run, and will always do so.
            RunFailedError: the API failed on this run: HTTP 500, or HTTP 409 though there is no
                run with this id.
            BlockedError: the API cannot start any run until a person has mended the cause that the
                message names.
            TransientError: the API does not answer.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        async with self.slots:
            response = await self.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
            match response.status_code:
                case 200 | 201:
                    return Started.NEW
                case 409:
                    return await self._duplicate(dag_id, run_id)
                case 400 | 413 | 422 as status:
                    await self._check_startable(dag_id)
                    # The API's own message quotes the conf.
                    raise RunRefusedError(f"Airflow's API refuses the run (HTTP {status}).")
                case 500:
                    raise RunFailedError("Airflow's API fails on the run (HTTP 500).")
                case status:
                    raise api_error(status, dag_id, f"start runs of {dag_id}")

    async def _duplicate(self, dag_id: str, run_id: str) -> Started:
        """Return that a run exists, after looking it up: HTTP 409 is any violated constraint."""
        response = await self.request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        if response.status_code == 200:
            return Started.DUPLICATE
        if response.status_code == 404:
            raise RunFailedError(
                "Airflow's API says that the run exists (HTTP 409), but it does not."
            )
        raise api_error(response.status_code, dag_id, f"read runs of {dag_id}")

    async def is_paused(self, dag_id: str) -> bool:
        """Return whether a DAG is paused.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        return bool((await self._dag(dag_id))["is_paused"])

    async def set_note(self, dag_id: str, run_id: str, note: str) -> None:
        """Set the note of a run, cut off at :data:`MAX_NOTE` characters.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        response = await self.request("PATCH", path, {"note": note[:MAX_NOTE]})
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"set notes of runs of {dag_id}")

    async def replace_note(self, dag_id: str, run_id: str, note: str, *, beginning: str) -> None:
        """Set the note of a run if the present one starts with ``beginning``.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        response = await self.request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"read runs of {dag_id}")
        if (response.json().get("note") or "").startswith(beginning):
            await self.set_note(dag_id, run_id, note)

    async def close(self, dag_id: str, run_id: str, note: str) -> bool:
        """End an active run as a success, with a note; return whether there was one.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        response = await self.request("GET", path)
        if response.status_code == 404 or (
            response.status_code == 200 and response.json()["state"] not in ACTIVE_STATES
        ):
            return False
        if response.status_code == 200:
            body = {"state": "success", "note": note[:MAX_NOTE]}
            response = await self.request("PATCH", path, body)
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"end runs of {dag_id}")
        return True

    async def clear(self, dag_id: str, run_id: str) -> bool:
        """Run an ended run again; return whether it had ended.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        response = await self.request("GET", path)
        if response.status_code == 200 and response.json()["state"] in ACTIVE_STATES:
            return False
        if response.status_code == 200:
            response = await self.request("POST", f"{path}/clear", {"dry_run": False})
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"clear runs of {dag_id}")
        return True

    async def cleared_by(self, dag_id: str, run_id: str) -> str | None:
        """Return the user who last cleared a run or one of its tasks; None if nobody did.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        query = {
            "dag_id": dag_id,
            "run_id": run_id,
            "included_events": ["clear_dag_run", "post_clear_task_instances"],
            "order_by": "-when",
            "limit": 1,
        }
        response = await self.request("GET", f"/api/v2/eventLogs?{urlencode(query, doseq=True)}")
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, "read the audit log")
        events = response.json()["event_logs"]
        return str(events[0]["owner"]) if events else None

    async def count(self, dag_id: str, **query: str | list[str]) -> int:
        """Return the number of runs of a DAG.

        Args:
            dag_id: the DAG.
            query: filters, as the API takes them to list runs, such as ``state``.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        number, _ = await self.runs(dag_id, **query, limit="1")
        return number

    async def runs(self, dag_id: str, **query: str | list[str]) -> tuple[int, list[dict[str, Any]]]:
        """Return how many runs of a DAG a query finds, and a page of them as the API has them.

        Args:
            dag_id: the DAG.
            query: filters, order, limit and offset, as the API takes them to list runs.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        parameters = urlencode(query, doseq=True)
        response = await self.request("GET", f"/api/v2/dags/{dag_id}/dagRuns?{parameters}")
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"list runs of {dag_id}")
        body = response.json()
        return int(body["total_entries"]), body["dag_runs"]

    async def run_ids(self, dag_id: str, **query: str | list[str]) -> list[str]:
        """Return the ids of the runs of a DAG.

        Args:
            dag_id: the DAG.
            query: filters, as for :meth:`count`.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        found: list[str] = []
        while True:
            page = {"order_by": "id", "limit": str(PAGE), "offset": str(len(found))}
            _, runs = await self.runs(dag_id, **{**query, **page})
            found += [run["dag_run_id"] for run in runs]
            if len(runs) < PAGE:
                return found

    async def conf(self, dag_id: str, run_id: str) -> dict[str, Any] | None:
        """Return the conf of a run; None if there is no such run.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        response = await self.request("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"read runs of {dag_id}")
        return response.json()["conf"] or {}

    async def awaits_input(self, dag_id: str, run_id: str) -> bool:
        """Return whether a task of a run waits for the answer of a person.

        Raises:
            TransientError: the API does not answer, or refuses the request.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?state=awaiting_input&limit=1"
        response = await self.request("GET", path)
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"read tasks of {dag_id}")
        return bool(response.json()["total_entries"])

    async def _dag(self, dag_id: str) -> dict[str, Any]:
        response = await self.request("GET", f"/api/v2/dags/{dag_id}")
        if response.status_code != 200:
            raise api_error(response.status_code, dag_id, f"read the DAG {dag_id}")
        dag: dict[str, Any] = response.json()
        return dag

    async def _check_startable(self, dag_id: str) -> None:
        """Raise BlockedError if the DAG's state is why the API refused a run."""
        dag = await self._dag(dag_id)
        if dag["has_import_errors"]:
            raise BlockedError(
                f"The file of the DAG {dag_id} has an import error, which the UI shows: fix it."
            )
        if dag["allowed_run_types"] is not None and "manual" not in dag["allowed_run_types"]:
            raise BlockedError(
                f'The DAG {dag_id} does not allow manual runs: add "manual" to its allowed run '
                "types."
            )


def set_note(run_id: str, note: str, dag_id: str = config.CASE_DAG) -> None:
    """Set the note of a case's run, which the UI shows. If that fails, only log a warning."""
    try_request(lambda client: client.set_note(dag_id, run_id, note), "The run has no note")


def replace_note(run_id: str, note: str, dag_id: str, *, beginning: str) -> None:
    """Set the note of a run if the present one starts with ``beginning``; log a failure only."""
    try_request(
        lambda client: client.replace_note(dag_id, run_id, note, beginning=beginning),
        "The run may have an old note",
    )


def cleared_by(run_id: str, dag_id: str = config.CASE_DAG) -> str | None:
    """Return the user who last cleared a run; None if nobody did or the API fails."""
    return try_request(
        lambda client: client.cleared_by(dag_id, run_id),
        "It is not known who cleared the run",
    )


def call(request: Callable[[RunsClient], Awaitable[T]]) -> T:
    """Return the result of a request by the account of the connection ``xray_api``."""
    from airflow.sdk import BaseHook

    async def send() -> T:
        async with RunsClient.from_connection(
            BaseHook.get_connection(connections.API_CONNECTION)
        ) as client:
            return await request(client)

    return asyncio.run(send())


def try_request(request: Callable[[RunsClient], Awaitable[T]], consequence: str) -> T | None:
    """Send a request whose failure does no harm: log the ``consequence`` and return None."""
    try:
        return call(request)
    except Exception as error:
        reason = str(error) if isinstance(error, XrayError) else type(error).__name__
        log.warning("%s: %s", consequence, reason)
        return None
