"""xray.web.viewed: each view of an image is on record with the user's name"""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.log import Log
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from xray.web import viewed

ADA, BEN = (SimpleAuthManagerUser(username=name, role="user") for name in ("ada", "ben"))


def entries(database: Engine) -> list[tuple[Any, ...]]:
    """The entries of Airflow's audit log."""
    with Session(database) as session:
        return [
            (one.event, one.owner, one.dag_id, json.loads(one.extra))
            for one in session.scalars(select(Log).order_by(Log.id))
        ]


def test_a_view_is_an_entry_of_airflows_audit_log(database: Engine) -> None:
    viewed.ViewLog().record(ADA, "c" * 32, "original")
    what = {"case_id": "c" * 32, "picture": "original"}
    assert entries(database) == [("xray_view", "ada", "xray_case", what)]


def test_a_repeated_view_is_recorded_once_for_a_while(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = viewed.ViewLog()
    for user, case, picture in (
        (ADA, "c", "original"),
        (ADA, "c", "original"),
        (ADA, "c", "annotated"),
        (ADA, "d", "original"),
        (BEN, "c", "original"),
    ):
        log.record(user, case, picture)
    assert len(entries(database)) == 4
    monkeypatch.setattr(viewed, "REPEATED_SECONDS", 0.0)
    log.record(ADA, "c", "original")
    assert len(entries(database)) == 5


def test_the_memory_of_views_is_bounded(views: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewed, "_MOST", 2)
    log = viewed.ViewLog()
    for case in ("a", "b", "c", "c", "a"):
        log.record(ADA, case, "original")
    assert [case for _, case, _ in views] == ["a", "b", "c", "a"]


def test_a_view_that_cannot_be_recorded_is_an_error_each_time(database: Engine) -> None:
    log = viewed.ViewLog()
    Log.__table__.drop(database)
    for _ in range(2):
        with pytest.raises(SQLAlchemyError):
            log.record(ADA, "c", "original")
