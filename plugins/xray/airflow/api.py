"""A client of Airflow's public REST API: DAG runs, their notes, and who cleared them.

The id of a run is derived from the object that it processes, so starting the
same run twice gives one run: the API answers the second request with HTTP 409,
which counts as a success here.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlencode

import httpx

from xray.airflow import config, connections
from xray.errors import PermanentError, TransientError, XrayError

if TYPE_CHECKING:
    from airflow.sdk import Connection

T = TypeVar("T")
log = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds to wait for a response."""
LOGIN_PAUSE = 10.0
"""Seconds for which a refused login is not tried again: too many attempts may lock the account."""
MAX_NOTE = 1000
"""The longest note that the API accepts, in characters."""
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


class RunsClient:
    """A client of the API, logged in as a service account.

    Args:
        base_url: the address of the API server, such as ``http://localhost:8080``.
        login, password: the account, which needs the right to start runs of the DAG.
        concurrency: runs that are being started at once, at most.
        verify: whether to check the certificate of an https server, or the path of a file with
            the certificate authorities to trust.
    """

    def __init__(
        self,
        base_url: str,
        login: str,
        password: str,
        *,
        concurrency: int = 8,
        verify: bool | str = True,
    ) -> None:
        self._account = {"username": login, "password": password}
        self._slots = asyncio.Semaphore(concurrency)
        self._token = ""
        self._login_lock = asyncio.Lock()
        self._login_refused_at = float("-inf")
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=concurrency + 1),
            verify=ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify,
        )

    @classmethod
    def from_connection(cls, connection: Connection, *, concurrency: int = 8) -> Self:
        """Return a client for an Airflow ``connection`` of type http.

        The host may be a name or a whole URL. The extra may have a ``verify``, with the meaning
        of the argument of this class.
        """
        url = connection.host or ""
        if "://" not in url:
            url = f"{connection.schema or 'http'}://{url}"
        if connection.port:
            url = f"{url}:{connection.port}"
        return cls(
            url,
            connection.login or "",
            connection.password or "",
            concurrency=concurrency,
            verify=connection.extra_dejson.get("verify", True),
        )

    @property
    def base_url(self) -> str:
        """The address of the API server."""
        return str(self._http.base_url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def start(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> Started:
        """Start a run, unless a run with this id exists.

        Raises:
            RunRefusedError: the API refuses this run, and will always do so.
            RunFailedError: the API failed on this run (HTTP 500).
            TransientError: the API does not answer, or cannot start any run. Trying again helps,
                in the second case after somebody has fixed the cause that the message names.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        async with self._slots:
            response = await self._request("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
            match response.status_code:
                case 200 | 201:
                    return Started.NEW
                case 409:
                    return Started.DUPLICATE
                case 400 | 413 | 422 as status:
                    await self._check_startable(dag_id)
                    # The API's own message quotes the conf.
                    raise RunRefusedError(f"Airflow's API refuses the run (HTTP {status}).")
                case 500:
                    raise RunFailedError("Airflow's API fails on the run (HTTP 500).")
                case status:
                    raise _error(status, dag_id, f"start runs of {dag_id}")

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
        response = await self._request("PATCH", path, {"note": note[:MAX_NOTE]})
        if response.status_code != 200:
            raise _error(response.status_code, dag_id, f"set notes of runs of {dag_id}")

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
        response = await self._request("GET", f"/api/v2/eventLogs?{urlencode(query, doseq=True)}")
        if response.status_code != 200:
            raise _error(response.status_code, dag_id, "read the audit log")
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
        parameters = urlencode({**query, "limit": 1}, doseq=True)
        response = await self._request("GET", f"/api/v2/dags/{dag_id}/dagRuns?{parameters}")
        if response.status_code != 200:
            raise _error(response.status_code, dag_id, f"list runs of {dag_id}")
        return int(response.json()["total_entries"])

    async def _dag(self, dag_id: str) -> dict[str, Any]:
        response = await self._request("GET", f"/api/v2/dags/{dag_id}")
        if response.status_code != 200:
            raise _error(response.status_code, dag_id, f"read the DAG {dag_id}")
        dag: dict[str, Any] = response.json()
        return dag

    async def _check_startable(self, dag_id: str) -> None:
        """Raise TransientError if the DAG's state is why the API refused a run."""
        dag = await self._dag(dag_id)
        if dag["has_import_errors"]:
            raise TransientError(
                f"The file of the DAG {dag_id} has an import error, which the UI shows: fix it."
            )
        if dag["allowed_run_types"] is not None and "manual" not in dag["allowed_run_types"]:
            raise TransientError(
                f'The DAG {dag_id} does not allow manual runs: add "manual" to its allowed run '
                "types."
            )

    async def _request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request; log in first if there is no token, or again if the token has expired."""
        token = self._token
        response = await self._send(method, path, body, token) if token else None
        if response is None or response.status_code == 401:
            response = await self._send(method, path, body, await self._log_in(token))
        return response

    async def _log_in(self, expired: str) -> str:
        """Return a token other than ``expired``; one login serves all requests that wait for it."""
        async with self._login_lock:
            if self._token == expired:
                self._token = ""
                if time.monotonic() - self._login_refused_at < LOGIN_PAUSE:
                    raise _error(401)
                response = await self._send("POST", "/auth/token", self._account)
                if response.status_code in (401, 403, 422):
                    self._login_refused_at = time.monotonic()
                    raise _error(401)
                if response.status_code not in (200, 201):
                    raise TransientError(
                        f"Airflow's API does not answer the login (HTTP {response.status_code})."
                    )
                self._token = str(response.json()["access_token"])
            return self._token

    async def _send(self, method: str, path: str, body: Any, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise TransientError(
                f"Airflow's API does not answer ({type(error).__name__}): check the host and port "
                f"of the connection {connections.API_CONNECTION}."
            ) from None


def _error(status: int, dag_id: str = "", action: str = "") -> TransientError:
    """Return the error for an HTTP ``status`` that concerns more than one run.

    Args:
        status: the HTTP status.
        dag_id: the DAG of the request.
        action: the request in words, as in "start runs of xray_case".
    """
    match status:
        case 401:
            return TransientError(
                "Airflow's API refuses the login: check login and password of the connection "
                f"{connections.API_CONNECTION}."
            )
        case 403:
            return TransientError(
                f"The account of the connection {connections.API_CONNECTION} may not "
                f"{action}: give it that right."
            )
        case 404:
            return TransientError(
                f"Airflow knows no DAG {dag_id}: check that its file exists and has no import "
                "error."
            )
        case _:
            return TransientError(f"Airflow's API cannot {action} now (HTTP {status}).")


def set_note(run_id: str, note: str, dag_id: str = config.CASE_DAG) -> None:
    """Set the note of a case's run, which the UI shows. If that fails, only log a warning."""
    _try_request(lambda client: client.set_note(dag_id, run_id, note), "The run has no note")


def cleared_by(run_id: str) -> str | None:
    """Return the user who last cleared a case's run; None if nobody did or the API fails."""
    return _try_request(
        lambda client: client.cleared_by(config.CASE_DAG, run_id),
        "It is not known who cleared the run",
    )


def _try_request(request: Callable[[RunsClient], Awaitable[T]], consequence: str) -> T | None:
    """Send a request whose failure does no harm: log the ``consequence`` and return None."""
    from airflow.sdk import BaseHook

    async def send() -> T:
        async with RunsClient.from_connection(
            BaseHook.get_connection(connections.API_CONNECTION)
        ) as client:
            return await request(client)

    try:
        return asyncio.run(send())
    except Exception as error:
        reason = str(error) if isinstance(error, XrayError) else type(error).__name__
        log.warning("%s: %s", consequence, reason)
        return None
