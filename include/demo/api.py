"""A client of Airflow's REST API, for the demo, the tests and the benchmarks."""

from __future__ import annotations

from typing import Any, Self

import httpx


class Api:
    """Airflow's REST API with the rights of one user; a context manager."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        answer = self._http.post("/auth/token", json={"username": user, "password": password})
        answer.raise_for_status()
        self.token = str(answer.json()["access_token"])
        self._http.headers["Authorization"] = f"Bearer {self.token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def patch(self, path: str, body: Any) -> Any:
        """Send ``body`` in a PATCH to ``/api/v2`` + ``path``, and return the JSON of the answer."""
        return self._send("PATCH", path, json=body)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of ``/api/v2`` + ``path``."""
        return self._send("GET", path, params=query)

    def post(self, path: str, body: Any) -> Any:
        """Send ``body`` in a POST to ``/api/v2`` + ``path``, and return the JSON of the answer."""
        return self._send("POST", path, json=body)

    def all(self, path: str, name: str, *, limit: int = 100, **query: Any) -> list[Any]:
        """Return the whole list ``name`` at ``path``, read in pages of at most ``limit`` rows."""
        rows: list[Any] = []
        while True:
            page = self.get(path, limit=limit, offset=len(rows), **query)
            rows += page[name]
            if not page[name] or len(rows) >= page["total_entries"]:
                return rows

    def _send(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._http.request(method, f"/api/v2{path}", **arguments)
        answer.raise_for_status()
        return answer.json()
