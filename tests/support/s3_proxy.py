"""A proxy before an S3 server that holds, refuses and drops requests as a test says."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}
PATIENCE = 120.0
"""Seconds after which a held request gives up, so that no test hangs."""


class Held:
    """A request that waits in the proxy."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self._free = threading.Event()

    def wait(self) -> None:
        """Be held."""
        self.arrived.set()
        self._free.wait(PATIENCE)

    def release(self) -> None:
        """Let it go on."""
        self._free.set()


class S3Proxy:
    """The proxy; a context manager. ``upstream`` may be set once the server's address is known."""

    def __init__(self) -> None:
        self.upstream = ""
        self.away: int | None = None
        """While set, every request is answered with this status; 0 drops its connection."""
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

    def hold(self, method: str, path: str, nth: int = 1) -> Held:
        """Hold the ``nth`` request of this kind; ``path`` is ``bucket/key``."""
        held = self._held[method, path, nth] = Held()
        return held

    def forbid(self, method: str, path: str) -> None:
        """Refuse requests of this kind from now on."""
        self._refused.add((method, path))

    def take(self, method: str, path: str) -> int | None:
        """Take a request; the status to answer it with, or None to hand it on."""
        with self._lock:
            self._seen[method, path] += 1
            held = self._held.get((method, path, self._seen[method, path]))
        if held:
            held.wait()
        if self.away is not None:
            return self.away
        return 403 if (method, path) in self._refused else None


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    server: Any

    def answer(self) -> None:
        proxy: S3Proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = proxy.take(self.command, unquote(urlsplit(self.path).path).lstrip("/"))
        if status is None:
            self.hand_on(proxy.upstream, body)
        elif status == 0:
            self.close_connection = True
        else:
            code = {403: "AccessDenied", 503: "SlowDown"}[status]
            self.tell(status, {}, f"<Error><Code>{code}</Code></Error>".encode())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def hand_on(self, upstream: str, body: bytes) -> None:
        server = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
        server.request(self.command, self.path, body, headers)
        reply = server.getresponse()
        self.tell(reply.status, dict(reply.getheaders()), reply.read())
        server.close()

    def tell(self, status: int, headers: dict[str, str], body: bytes) -> None:
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
        except OSError:  # The client was killed: that is what tests do.
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
