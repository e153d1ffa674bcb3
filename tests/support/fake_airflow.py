"""An API server that behaves like Airflow's where a check of the deployment looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.support.fake_api import FakeApi
from xray.airflow.deployment.account import NEEDED_DAGS, OTHER_DAGS, PARTS


class FakeAirflow(FakeApi):
    """An API server with the DAGs, the health and the rights of a deployment."""

    def __init__(self) -> None:
        super().__init__()
        self.health: dict[str, Any] = {part: {"status": "healthy"} for part in PARTS}
        self.known: dict[str, dict[str, Any]] = {
            dag_id: {"is_paused": False, "has_import_errors": False, "is_stale": False}
            for dag_id in (*NEEDED_DAGS, *OTHER_DAGS)
        }
        """What the API says of each DAG."""
        self.broken: list[str] = []
        """The files with an import error."""
        self.denied: set[tuple[str, str]] = set()
        """The method and the end of the path of requests that the account may not send."""
        self.requests: list[tuple[str, str]] = []
        """The method and the path of each request after the login."""
        self.listen: Callable[[], None] = lambda: None
        """Called before each answer, in place of a listener and workers."""

    def handle(self, path: str, headers: Any, body: Any) -> tuple[int, Any]:
        """Return the HTTP status and the JSON of a response."""
        url, method = urlsplit(path).path, "GET" if body is None else "POST"
        if url == "/api/v2/monitor/health":
            return 200, self.health
        if url == "/auth/token" or headers["Authorization"] != f"Bearer {self.token}":
            return super().handle(path, headers, body)
        self.requests.append((method, url))
        if any(method == of and url.endswith(end) for of, end in self.denied):
            return 403, {"detail": "Forbidden"}
        answer = self.looked_at(method, path, body)
        return answer or super().handle(path, headers, body)

    def looked_at(self, method: str, path: str, body: Any) -> tuple[int, Any] | None:
        """Return the response to a request of a check; None for any other request."""
        self.listen()
        names = urlsplit(path).path.split("/")
        if method == "POST" and names[-1] == "dagRuns" and "logical_date" not in body:
            return 422, {"detail": "logical_date: Field required"}
        if method == "POST" and names[-1] == "clear" and names[-2] not in self.runs:
            return 404, {}
        if names[-1] == "dagRuns" and method == "GET":
            status, page = self.read(path)
            runs = [{**run, "conf": self.runs[run["dag_run_id"]]} for run in page["dag_runs"]]
            return status, {**page, "dag_runs": runs}
        if names[-1] == "importErrors":
            return 200, {"import_errors": [{"filename": file} for file in self.broken]}
        if names[-1] == "eventLogs":
            return 200, {"event_logs": []}
        if names[-2] == "dags":
            known = self.known.get(names[-1])
            return (404, {}) if known is None else (200, known)
        return None
