"""An API server that behaves like Airflow's, as far as the tests need."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import KEYRING
from xray.case import Source

POISON = "poison"
"""The object key whose run breaks the server."""


class FakeApi:
    """An API server with one run per id and a token that can expire."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        """The conf of each run, by run id."""
        self.states: dict[str, str] = {}
        """The states of runs, by run id."""
        self.usual_state = "queued"
        """The state of a run that is not in ``states``."""
        self.notes: dict[str, str] = {}
        """The notes of runs, by run id."""
        self.logins = 0
        self.password = "right"
        self.refuse: list[int] = []
        """The HTTP statuses of the next attempts to start a run."""
        self.lock = threading.Lock()
        self.token = ""
        self.dag = {"is_paused": False, "has_import_errors": False, "allowed_run_types": None}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.respond(None)

            def do_POST(self) -> None:
                self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            do_PATCH = do_POST

            def respond(self, body: Any) -> None:
                with api.lock:
                    status, content = api.handle(self.path, self.headers, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, path: str, headers: Any, body: Any) -> tuple[int, Any]:
        """Return the HTTP status and the JSON of a response."""
        if path == "/auth/token":
            self.logins += 1
            if body != {"username": "xray", "password": self.password}:
                return 401, {}
            self.token = f"token-{self.logins}"
            return 201, {"access_token": self.token}
        if headers["Authorization"] != f"Bearer {self.token}":
            return 401, {}
        if body is None:
            url = urlsplit(path)
            if url.path.endswith("/dagRuns"):
                return 200, {"total_entries": self.count(parse_qs(url.query))}
            return 200, self.dag
        if "note" in body:
            self.notes[path.rpartition("/")[2]] = body["note"]
            return 200, {}
        if self.refuse:
            return self.refuse.pop(0), {"detail": "because of Ada Ashgrove"}
        if body["conf"] and _object_key(body["conf"]) == POISON:
            return 500, {}
        if body["dag_run_id"] in self.runs:
            return 409, {}
        self.runs[body["dag_run_id"]] = body["conf"]
        return 200, {}

    def count(self, query: dict[str, list[str]]) -> int:
        """Return how many runs a query finds."""
        (prefix,), wanted = query.get("run_id_prefix_pattern", [""]), query.get("state")
        return sum(
            run.startswith(prefix)
            and (not wanted or self.states.get(run, self.usual_state) in wanted)
            for run in self.runs
        )

    def object_keys(self) -> list[str]:
        """Return the object keys in the confs of the runs, sorted."""
        return sorted(map(_object_key, self.runs.values()))

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()


def _object_key(conf: dict[str, Any]) -> str:
    return Source.from_conf(conf, KEYRING).key
