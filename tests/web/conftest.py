"""The connections that the app needs, and users with the rights of Airflow's roles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api import security
from airflow.models.dag import DagModel
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tests.support import SECRET
from tests.support.fake_api import FakeApi
from tests.support.index_database import new_database
from xray.airflow.index import queries
from xray.web import cases, rights, viewed
from xray.web.app import app


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """An API server, to which the connection leads, and the secret of the deployment."""
    api = FakeApi()
    host, port = api.server.server_address[:2]
    service = {"conn_type": "http", "host": host, "port": port, "login": "xray"}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_API", json.dumps({**service, "password": "right"}))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    yield api
    api.close()


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The database of Airflow."""
    engine = new_database()

    @contextmanager
    def opened() -> Iterator[Session]:
        with Session(engine) as session, session.begin():
            yield session

    monkeypatch.setattr(queries, "session", opened)
    return engine


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The views that are on record: the user, the case and the picture of each."""
    seen: list[tuple[str, str, str]] = []
    monkeypatch.setattr(viewed, "log", viewed.ViewLog())
    monkeypatch.setattr(viewed, "_write", lambda *view: seen.append(view))
    return seen


@pytest.fixture
def logged_in(
    s3_connection: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str | None], TestClient]]:
    """A function that returns a client of a user with a role, or of nobody."""
    manager = SimpleAuthManager()
    for module in (security, rights):
        monkeypatch.setattr(module, "get_auth_manager", lambda: manager)
    # There is no database, and no team.
    monkeypatch.setattr(DagModel, "get_team_name", lambda dag_id: None)

    def log_in(role: str | None) -> TestClient:
        app.dependency_overrides.clear()
        if role:
            user = SimpleAuthManagerUser(username="somebody", role=role)
            app.dependency_overrides[security.get_user] = lambda: user
        return TestClient(app)

    yield log_in
    app.dependency_overrides.clear()


@pytest.fixture(autouse=True)
def no_day_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page Cases counts no dead letters: no test's thread outlives it, or asks a broker."""
    monkeypatch.setattr(cases, "day_count", SimpleNamespace(text=lambda: ""))
