"""A proxy in front of an S3 server that holds, refuses or drops requests for a test."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}
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


class S3Proxy:
    """The proxy; a context manager. ``upstream``, the server's URL, can be set later."""

    def __init__(self) -> None:
        self.upstream = ""
        self.away: int | None = None
        """If set, the status of the answer to every request; 0 drops the connection."""
        self._held: dict[tuple[str, str, int], Held] = {}
        self._refused: set[tuple[str, str]] = set()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()
        self._server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.proxy = self
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> S3Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

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


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def answer(self) -> None:
        proxy: S3Proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = proxy.intercept(self.command, unquote(urlsplit(self.path).path).lstrip("/"))
        if status is None:
            self.forward(proxy.upstream, body)
        elif status == 0:
            self.close_connection = True
        else:
            code = {403: "AccessDenied", 503: "SlowDown"}[status]
            self.reply(status, {}, f"<Error><Code>{code}</Code></Error>".encode())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def forward(self, upstream: str, body: bytes) -> None:
        server = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        self.reply(answer.status, dict(answer.getheaders()), answer.read())
        server.close()

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        length = str(len(body))
        for name, value in headers.items():
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # The client was killed by the test.
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
