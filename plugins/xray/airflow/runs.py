"""Starting DAG runs through Airflow's public REST API, each once.

A run's id is made of what it is about, so that starting it twice gives one
run: the API answers 409 to the second call, and that is a success here.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from xray.errors import PassingError, PermanentError

if TYPE_CHECKING:
    from airflow.sdk import Connection

TIMEOUT = 30.0
"""Seconds to wait for an answer."""


class Started(Enum):
    """What came of a call."""

    NEW = "started"
    ALREADY_THERE = "already there"


class RunRefusedError(PermanentError):
    """The API refuses this very run; others may start."""


class RunsClient:
    """Starts runs, logged in as a service account.

    Args:
        base_url: of the API server, such as ``http://localhost:8080``.
        login, password: of an account that may start runs of the DAG.
        concurrency: calls under way at once, at most.
    """

    def __init__(self, base_url: str, login: str, password: str, *, concurrency: int = 8) -> None:
        self._account = {"username": login, "password": password}
        self._gate = asyncio.Semaphore(concurrency)
        self._token = ""
        self._login_lock = asyncio.Lock()
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=TIMEOUT,
            limits=httpx.Limits(max_connections=concurrency + 1),
        )

    @classmethod
    def from_connection(cls, connection: Connection, *, concurrency: int = 8) -> Self:
        """A client for an Airflow ``connection`` of type http."""
        scheme = connection.schema or "http"
        port = f":{connection.port}" if connection.port else ""
        return cls(
            f"{scheme}://{connection.host}{port}",
            connection.login or "",
            connection.password or "",
            concurrency=concurrency,
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
            PassingError: the API cannot answer, or refuses whatever this account asks: worth
                another try, the latter once somebody has mended it.
        """
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        async with self._gate:
            answer = await self._call(f"/api/v2/dags/{dag_id}/dagRuns", body)
        match answer.status_code:
            case 200 | 201:
                return Started.NEW
            case 409:
                return Started.ALREADY_THERE
            case 401:
                raise PassingError(
                    "Airflow's API refuses the login: check login and password of the "
                    "connection xray_api."
                )
            case 403:
                raise PassingError(
                    f"The account of the connection xray_api may not start runs of {dag_id}: "
                    "give it that right."
                )
            case 404:
                raise PassingError(
                    f"Airflow knows no DAG {dag_id}: check that its file is there and has no "
                    "import error."
                )
            case 400 | 413 | 422:
                # The API's own words quote the conf, which holds the object key.
                raise RunRefusedError(f"Airflow's API refuses the run (HTTP {answer.status_code}).")
            case status:
                raise PassingError(f"Airflow's API cannot start runs now (HTTP {status}).")

    async def _call(self, path: str, body: dict[str, Any]) -> httpx.Response:
        """POST, with a new login when the last one has run out."""
        token = self._token
        answer = await self._post(path, body, token) if token else None
        if answer is None or answer.status_code == 401:
            answer = await self._post(path, body, await self._log_in(token))
        return answer

    async def _log_in(self, used: str) -> str:
        """A token other than the ``used`` one; one login serves all calls that wait for it."""
        async with self._login_lock:
            if self._token == used:
                answer = await self._post("/auth/token", self._account)
                if answer.status_code in (401, 403, 422):
                    self._token = ""
                    raise PassingError(
                        "Airflow's API refuses the login: check login and password of the "
                        "connection xray_api."
                    )
                if answer.status_code not in (200, 201):
                    raise PassingError(
                        f"Airflow's API gives no login now (HTTP {answer.status_code})."
                    )
                self._token = str(answer.json()["access_token"])
            return self._token

    async def _post(self, path: str, body: dict[str, Any], token: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return await self._http.post(path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise PassingError(
                f"Airflow's API does not answer ({type(error).__name__}): check the host and port "
                "of the connection xray_api."
            ) from None
