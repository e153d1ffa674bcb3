"""Starting DAG runs through Airflow's public REST API, each once.

A run's id is made of what it is about, so that starting it twice gives one
run: the API answers 409 to the second call, and that is a success here.
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
"""Seconds to wait for an answer."""
LOGIN_PAUSE = 10.0
"""Seconds for which a refused login is not tried again: an account that is tried too often may be
locked."""
MAX_NOTE = 1000
"""Characters of a note, at most."""


class Started(Enum):
    """What came of a call; the values are the names of the counters in logs and metrics."""

    NEW = "started"
    ALREADY_THERE = "duplicate"


class RunRefusedError(PermanentError):
    """The API refuses this very run; others may start."""


class RunFailedError(TransientError):
    """The API fails while it starts this run; it may be the run's fault."""


class RunsClient:
    """Starts runs, logged in as a service account.

    Args:
        base_url: of the API server, such as ``http://localhost:8080``.
        login, password: of an account that may start runs of the DAG.
        concurrency: calls under way at once, at most.
        verify: whether an https server's certificate is checked, or a file of the authorities
            to check it by.
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
        self._gate = asyncio.Semaphore(concurrency)
        self._token = ""
        self._login_lock = asyncio.Lock()
        self._refused = float("-inf")
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=concurrency + 1),
            verify=ssl.create_default_context(cafile=verify) if isinstance(verify, str) else verify,
        )

    @classmethod
    def from_connection(cls, connection: Connection, *, concurrency: int = 8) -> Self:
        """A client for an Airflow ``connection`` of type http.

        Its host may be a name, or a whole URL; ``verify`` in its extra is that of the class.
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
        """Start a run, or find that it was started before.

        Raises:
            RunRefusedError: the API will never take this run; no other is concerned.
            TransientError: the API cannot answer, or refuses whatever this account asks: worth
                another try, the latter once somebody has mended it.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        async with self._gate:
            answer = await self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)
            match answer.status_code:
                case 200 | 201:
                    return Started.NEW
                case 409:
                    return Started.ALREADY_THERE
                case 400 | 413 | 422 as status:
                    await self._must_be_startable(dag_id)
                    # The API's own words quote the conf, which holds the object key.
                    raise RunRefusedError(f"Airflow's API refuses the run (HTTP {status}).")
                case 500:
                    raise RunFailedError("Airflow's API fails on the run (HTTP 500).")
                case status:
                    raise _passing(status, dag_id, f"start runs of {dag_id}")

    async def is_paused(self, dag_id: str) -> bool:
        """Whether a DAG is paused.

        Raises:
            TransientError: the API does not tell now.
        """
        return bool((await self._dag(dag_id))["is_paused"])

    async def note(self, dag_id: str, run_id: str, text: str) -> None:
        """Put a note on a run.

        Raises:
            TransientError: the API does not take it now.
        """
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        answer = await self._call("PATCH", path, {"note": text[:MAX_NOTE]})
        if answer.status_code != 200:
            raise _passing(answer.status_code, dag_id, f"put notes on runs of {dag_id}")

    async def cleared_by(self, dag_id: str, run_id: str) -> str | None:
        """Who cleared a run or a task of it last; None for nobody.

        Raises:
            TransientError: the API does not tell now, or not to this account.
        """
        query = {
            "dag_id": dag_id,
            "run_id": run_id,
            "included_events": ["clear_dag_run", "post_clear_task_instances"],
            "order_by": "-when",
            "limit": 1,
        }
        answer = await self._call("GET", f"/api/v2/eventLogs?{urlencode(query, doseq=True)}")
        if answer.status_code != 200:
            raise _passing(answer.status_code, dag_id, "read the audit log")
        logs = answer.json()["event_logs"]
        return str(logs[0]["owner"]) if logs else None

    async def count(self, dag_id: str, **query: str | list[str]) -> int:
        """How many runs there are, of all that ``query`` (that of the API's list) finds.

        Raises:
            TransientError: the API does not tell now.
        """
        parts = urlencode({**query, "limit": 1}, doseq=True)
        answer = await self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?{parts}")
        if answer.status_code != 200:
            raise _passing(answer.status_code, dag_id, f"list runs of {dag_id}")
        return int(answer.json()["total_entries"])

    async def _dag(self, dag_id: str) -> dict[str, Any]:
        answer = await self._call("GET", f"/api/v2/dags/{dag_id}")
        if answer.status_code != 200:
            raise _passing(answer.status_code, dag_id, f"read the DAG {dag_id}")
        dag: dict[str, Any] = answer.json()
        return dag

    async def _must_be_startable(self, dag_id: str) -> None:
        """Raise TransientError if no run at all can be started; the API refuses each one then."""
        dag = await self._dag(dag_id)
        if dag["has_import_errors"]:
            raise TransientError(
                f"The file of the DAG {dag_id} has an import error: mend it; the UI shows it."
            )
        if dag["allowed_run_types"] is not None and "manual" not in dag["allowed_run_types"]:
            raise TransientError(f"The DAG {dag_id} does not allow manual runs: let it.")

    async def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask, with a new login when the last one has run out."""
        token = self._token
        answer = await self._send(method, path, body, token) if token else None
        if answer is None or answer.status_code == 401:
            answer = await self._send(method, path, body, await self._log_in(token))
        return answer

    async def _log_in(self, used: str) -> str:
        """A token other than the ``used`` one; one login serves all calls that wait for it."""
        async with self._login_lock:
            if self._token == used:
                self._token = ""
                if time.monotonic() - self._refused < LOGIN_PAUSE:
                    raise _passing(401)
                answer = await self._send("POST", "/auth/token", self._account)
                if answer.status_code in (401, 403, 422):
                    self._refused = time.monotonic()
                    raise _passing(401)
                if answer.status_code not in (200, 201):
                    raise TransientError(
                        f"Airflow's API gives no login now (HTTP {answer.status_code})."
                    )
                self._token = str(answer.json()["access_token"])
            return self._token

    async def _send(self, method: str, path: str, body: Any, token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise TransientError(
                f"Airflow's API does not answer ({type(error).__name__}): check the host and port "
                "of the connection xray_api."
            ) from None


def _passing(status: int, dag_id: str = "", aim: str = "") -> TransientError:
    """What an answer that concerns more than one run means, and what to do."""
    match status:
        case 401:
            return TransientError(
                "Airflow's API refuses the login: check login and password of the connection "
                "xray_api."
            )
        case 403:
            return TransientError(
                f"The account of the connection xray_api may not {aim}: give it that right."
            )
        case 404:
            return TransientError(
                f"Airflow knows no DAG {dag_id}: check that its file is there and has no import "
                "error."
            )
        case _:
            return TransientError(f"Airflow's API cannot {aim} now (HTTP {status}).")


def set_note(run_id: str, note: str, dag_id: str = config.CASE_DAG) -> None:
    """Put a note on a case's run, where the UI shows it; a run is none the worse without."""
    _ask(lambda client: client.note(dag_id, run_id, note), "The run has no note")


def cleared_by(run_id: str) -> str | None:
    """Who cleared a case's run last; None if that cannot be told."""
    return _ask(
        lambda client: client.cleared_by(config.CASE_DAG, run_id), "Nobody says who cleared this"
    )


def _ask(question: Callable[[RunsClient], Awaitable[T]], otherwise: str) -> T | None:
    """Ask Airflow's API for something that can be done without."""
    from airflow.sdk import BaseHook

    async def ask() -> T:
        async with RunsClient.from_connection(
            BaseHook.get_connection(connections.API_CONNECTION)
        ) as client:
            return await question(client)

    try:
        return asyncio.run(ask())
    except Exception as error:
        reason = str(error) if isinstance(error, XrayError) else type(error).__name__
        log.warning("%s: %s", otherwise, reason)
        return None
