"""A session with Airflow's public REST API: logging in, sending requests, and its errors."""

from __future__ import annotations

import asyncio
import ssl
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from xray.airflow import connections
from xray.errors import BlockedError, TransientError

if TYPE_CHECKING:
    from airflow.sdk import Connection

TIMEOUT = 30.0
"""Seconds to wait for a response."""
LOGIN_PAUSE = 10.0
"""Seconds for which a login is not repeated: too many attempts may lock the account."""
FORBIDDEN_PAUSE = 30.0
"""Seconds after a login for which a forbidden request is not a reason to log in again: an account
that lacks a right is refused with every token."""
BAD_TOKEN = "JWT"  # noqa: S105 - a part of what the API says of a token
"""In Airflow's sentence about a token that it cannot verify, such as after a change of the secret
that signs tokens. It comes with HTTP 403, as a missing right does."""


class ApiSession:
    """A session of a service account.

    Args:
        base_url: the address of the API server, such as ``http://localhost:8080``.
        login, password: the account.
        concurrency: requests that are sent at once, at most.
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
        self.slots = asyncio.Semaphore(concurrency)
        self._token = ""
        self._login_lock = asyncio.Lock()
        self._login_refused_at = self._logged_in_at = float("-inf")
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

    async def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request, and log in if there is no token or if the API refuses the token.

        A token has expired (HTTP 401), was signed with an earlier secret, or names rights that
        have changed since (both HTTP 403).

        Raises:
            BlockedError: the API refuses the login, or each token that it has issued.
            TransientError: the API does not answer.
        """
        token = self._token
        response = await self._send(method, path, body, token) if token else None
        if response is None or response.status_code == 401 or self._may_be_token(response, token):
            response = await self._send(method, path, body, await self._log_in(token))
        if response.status_code == 403 and BAD_TOKEN in response.text:
            raise BlockedError(
                "Airflow's API does not accept the token that it has issued: check that all its "
                "servers have the same [api_auth] jwt_secret."
            )
        return response

    def _may_be_token(self, response: httpx.Response, token: str) -> bool:
        """Return whether another token may help a request that was forbidden with this one."""
        if response.status_code != 403:
            return False
        pause = LOGIN_PAUSE if BAD_TOKEN in response.text else FORBIDDEN_PAUSE
        return token != self._token or time.monotonic() - self._logged_in_at >= pause

    async def _log_in(self, expired: str) -> str:
        """Return a token other than ``expired``; one login serves all requests that wait for it."""
        async with self._login_lock:
            if self._token == expired:
                self._token = ""
                if time.monotonic() - self._login_refused_at < LOGIN_PAUSE:
                    raise api_error(401)
                response = await self._send("POST", "/auth/token", self._account)
                if response.status_code in (401, 403, 422):
                    self._login_refused_at = time.monotonic()
                    raise api_error(401)
                if response.status_code not in (200, 201):
                    raise TransientError(
                        f"Airflow's API does not answer the login (HTTP {response.status_code})."
                    )
                self._token = str(response.json()["access_token"])
                self._logged_in_at = time.monotonic()
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


def api_error(status: int, dag_id: str = "", action: str = "") -> TransientError:
    """Return the error for an HTTP ``status`` that concerns more than one run.

    It is a :class:`~xray.errors.BlockedError` if a person has to mend something.

    Args:
        status: the HTTP status.
        dag_id: the DAG of the request.
        action: the request in words, as in "start runs of xray_case".
    """
    match status:
        case 401:
            return BlockedError(
                "Airflow's API refuses the login: check login and password of the connection "
                f"{connections.API_CONNECTION}."
            )
        case 403:
            return BlockedError(
                f"The account of the connection {connections.API_CONNECTION} may not "
                f"{action}: give it that right."
            )
        case 404:
            return BlockedError(
                f"Airflow knows no DAG {dag_id}: check that its file exists and has no import "
                "error."
            )
        case _:
            return TransientError(f"Airflow's API cannot {action} now (HTTP {status}).")
