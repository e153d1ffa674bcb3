"""A proxy in front of Airflow's REST API that fails requests for a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.support.proxy import Proxy

Fault = Callable[[str, str], int | None]
"""Takes the method and the path of a request; returns the status of the answer,
:data:`~tests.support.proxy.DROP`, :data:`~tests.support.proxy.LOSE_ANSWER`, or None to pass the
request on."""


class ApiProxy(Proxy):
    """The proxy; a context manager. ``upstream``, the URL of the API server, can be set later."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Fault | None = None
        """Decides about each request while it is set."""

    def connection(self, login: str, password: str) -> str:
        """Return the Airflow connection ``xray_api`` through the proxy, as JSON."""
        port = urlsplit(self.url).port
        fields = {"conn_type": "http", "host": "127.0.0.1", "port": port}
        return json.dumps({**fields, "login": login, "password": password})

    def intercept(self, method: str, path: str) -> int | None:
        """Return what the fault decides; None if there is no fault."""
        fault = self.fault
        return fault(method, path) if fault else None

    def error(self, status: int) -> bytes:
        """Return the body of an error in the form of FastAPI."""
        return json.dumps({"detail": f"HTTP {status} by a test"}).encode()
