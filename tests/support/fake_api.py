"""An API server that behaves like Airflow's, as far as the tests need."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
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
        self.dags: dict[str, str] = {}
        """The DAG of each run, by run id."""
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
        self.refusal: tuple[int, str] = (401, "Token Expired")
        """The answer to a request with another token than the last one."""
        self.forbidden = False
        """Whether the account lacks all rights."""
        self.conflicts = 0
        """How many further starts are answered with HTTP 409 though there is no such run."""
        self.random_errors: Callable[[], bool] = lambda: False
        """Asked at each start of a run whether it is answered with HTTP 500."""
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
            status, detail = self.refusal
            return status, {"detail": detail}
        if self.forbidden:
            return 403, {"detail": "Forbidden"}
        if body is None:
            return self.read(path)
        if "conf" in body:
            return self.start(path, body)
        if path.endswith("/clear"):
            self.states[path.split("/")[-2]] = "queued"
            return 200, {}
        run = path.rpartition("/")[2]
        self.notes[run] = body["note"]
        if "state" in body:
            self.states[run] = body["state"]
        return 200, {}

    def start(self, path: str, body: Any) -> tuple[int, Any]:
        """Return the HTTP status and the JSON of the response to the start of a run."""
        if self.refuse:
            return self.refuse.pop(0), {"detail": "because of Ada Ashgrove"}
        if self.conflicts:
            self.conflicts -= 1
            return 409, {"detail": {"reason": "Unique constraint violation"}}
        if self.random_errors():
            return 500, {}
        if body["conf"] and _object_key(body["conf"]) == POISON:
            return 500, {}
        if body["dag_run_id"] in self.runs:
            return 409, {}
        self.runs[body["dag_run_id"]] = body["conf"]
        self.dags[body["dag_run_id"]] = path.split("/")[-2]
        return 200, {}

    def read(self, path: str) -> tuple[int, Any]:
        """Return the HTTP status and the JSON of the response to a GET."""
        url = urlsplit(path)
        query, names = parse_qs(url.query), url.path.split("/")
        if names[-1] == "taskInstances":
            return 200, {"total_entries": self.state(names[-2]) in ("queued", "running")}
        if names[-1] == "dagRuns":
            found = self.find(names[-2], query)
            offset, limit = (int(query.get(name, ["0"])[0]) for name in ("offset", "limit"))
            page = found[offset : offset + limit]
            runs = [{"dag_run_id": run, "state": self.state(run)} for run in page]
            return 200, {"total_entries": len(found), "dag_runs": runs}
        if names[-2] == "dagRuns":
            run = names[-1]
            if run not in self.runs:
                return 404, {}
            note = self.notes.get(run)
            return 200, {"state": self.state(run), "conf": self.runs[run], "note": note}
        return 200, self.dag

    def state(self, run: str) -> str:
        """Return the state of a run."""
        return self.states.get(run, self.usual_state)

    def find(self, dag_id: str, query: dict[str, list[str]]) -> list[str]:
        """Return the ids of the runs that a query finds."""
        (prefix,), wanted = query.get("run_id_prefix_pattern", [""]), query.get("state")
        return [
            run
            for run in self.runs
            if run.startswith(prefix)
            and self.dags.get(run, dag_id) == dag_id
            and (not wanted or self.state(run) in wanted)
        ]

    def object_keys(self) -> list[str]:
        """Return the object keys in the confs of the runs, sorted."""
        return sorted(map(_object_key, self.runs.values()))

    def close(self) -> None:
        """Stop the server."""
        self.server.shutdown()
        self.server.server_close()


def _object_key(conf: dict[str, Any]) -> str:
    if "until" in conf:  # A run of xray_reconcile.
        return ""
    return Source.from_conf(conf, KEYRING).key
