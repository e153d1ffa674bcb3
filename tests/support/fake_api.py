"""A server that answers as Airflow's API does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class FakeApi:
    """Answers as Airflow's API does: one run an id, a token that can run out."""

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.states: dict[str, str] = {}
        self.usual_state = "queued"
        self.notes: dict[str, str] = {}
        self.logins = 0
        self.password = "right"
        self.refuse: list[int] = []
        """Status codes that the next calls get."""
        self.lock = threading.Lock()
        self.token = ""
        self.dag = {"is_paused": False, "has_import_errors": False, "allowed_run_types": None}
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.tell(None)

            def do_POST(self) -> None:
                self.tell(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            do_PATCH = do_POST

            def tell(self, body: Any) -> None:
                with api.lock:
                    status, answer = api.answer(self.path, self.headers, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, headers: Any, body: Any) -> tuple[int, Any]:
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
        if "poison" in json.dumps(body):
            return 500, {}
        if body["dag_run_id"] in self.runs:
            return 409, {}
        self.runs[body["dag_run_id"]] = body["conf"]
        return 200, {}

    def count(self, query: dict[str, list[str]]) -> int:
        (prefix,), wanted = query.get("run_id_prefix_pattern", [""]), query.get("state")
        return sum(
            run.startswith(prefix)
            and (not wanted or self.states.get(run, self.usual_state) in wanted)
            for run in self.runs
        )

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
