"""A proxy in front of an HTTP server that refuses or drops requests for a test."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "date", "server"}
DROP = 0
"""In place of a status: the connection ends, and the server never gets the request."""
LOSE_ANSWER = -1
"""In place of a status: the server gets the request, and the connection ends with no answer."""


class Proxy:
    """The proxy; a context manager. ``upstream``, the server's URL, can be set later."""

    def __init__(self) -> None:
        self.upstream = ""
        self._server: Any = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def intercept(self, method: str, path: str) -> int | None:
        """Return the status of the answer, or what happens in its place; None to pass it on.

        Args:
            method: such as ``GET``.
            path: the decoded path, without the slash at its start and without the query.
        """
        raise NotImplementedError

    def error(self, status: int) -> bytes:
        """Return the body of an answer that the proxy gives in place of the server."""
        raise NotImplementedError


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def answer(self) -> None:
        proxy: Proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = proxy.intercept(self.command, unquote(urlsplit(self.path).path).lstrip("/"))
        if status is None or status == LOSE_ANSWER:
            self.forward(proxy.upstream, body, answers=status is None)
        elif status == DROP:
            self.close_connection = True
        else:
            self.reply(status, {}, proxy.error(status))

    do_GET = do_PUT = do_POST = do_PATCH = do_HEAD = do_DELETE = answer

    def forward(self, upstream: str, body: bytes, *, answers: bool) -> None:
        server = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "expect"}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        content = answer.read()
        server.close()
        if answers:
            self.reply(answer.status, dict(answer.getheaders()), content)
        else:
            self.close_connection = True

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
        except (OSError, http.client.HTTPException):
            # The test has killed the client or the server.
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass
