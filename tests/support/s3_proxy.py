"""A proxy in front of an S3 server that holds, refuses or drops requests for a test."""

from __future__ import annotations

import json
import threading
from collections import Counter

from tests.support.proxy import Proxy

HOLD_SECONDS = 300.0
"""Seconds after which a held request continues, so that no test hangs."""


class Held:
    """A request that waits in the proxy."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._released = threading.Event()

    def wait(self) -> None:
        """Wait until the request is released."""
        self.arrived.set()
        self._released.wait(HOLD_SECONDS)

    def release(self) -> None:
        """Let the request continue."""
        self._released.set()


class S3Proxy(Proxy):
    """The proxy; a context manager. ``upstream``, the server's URL, can be set later."""

    def __init__(self) -> None:
        super().__init__()
        self.away: int | None = None
        """If set, the status of the answer to every request; 0 drops the connection."""
        self._held: dict[tuple[str, str, int], Held] = {}
        self._refused: set[tuple[str, str]] = set()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def connection(self, login: str, password: str) -> str:
        """Return an Airflow connection to the server through the proxy, as JSON."""
        extra = {
            "endpoint_url": self.url,
            "region_name": "us-east-1",
            # By default, botocore sends a held request again after 30 s, and the task goes on.
            "config_kwargs": {"read_timeout": 2 * HOLD_SECONDS},
        }
        return json.dumps(
            {"conn_type": "aws", "login": login, "password": password, "extra": extra}
        )

    def hold(self, method: str, path: str, nth: int = 1) -> Held:
        """Hold the ``nth`` request of this method and ``path``, which is ``bucket/key``."""
        held = self._held[method, path, nth] = Held()
        return held

    def forbid(self, method: str, path: str) -> None:
        """Refuse all further requests of this method and ``path``."""
        self._refused.add((method, path))

    def allow(self, method: str, path: str) -> None:
        """Refuse requests of this method and ``path`` no longer."""
        self._refused.discard((method, path))

    def intercept(self, method: str, path: str) -> int | None:
        """Hold a request if a test wants it; return the status of the answer, or None."""
        with self._lock:
            self._seen[method, path] += 1
            held = self._held.get((method, path, self._seen[method, path]))
        if held:
            held.wait()
        if self.away is not None:
            return self.away
        return 403 if (method, path) in self._refused else None

    def error(self, status: int) -> bytes:
        """Return the body of an error in the form of S3."""
        code = {403: "AccessDenied", 503: "SlowDown"}[status]
        return f"<Error><Code>{code}</Code></Error>".encode()
