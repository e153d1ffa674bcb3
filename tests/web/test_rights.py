"""xray.web.rights: who may see what, with Airflow's simple auth manager and with others"""

from __future__ import annotations

from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import HTTPException

from xray.web import rights

REQUEST: Any = None
ALL = {"rerun", "start", "backfill", "review", "release"}


class OtherManager:
    """An auth manager with custom views, such as that of FAB."""

    def __init__(self, *may_read: str) -> None:
        self.may_read = may_read

    def is_authorized_custom_view(self, *, method: str, resource_name: str, user: Any) -> bool:
        """Return whether the user may read the view."""
        return method == "GET" and resource_name in self.may_read

    def is_authorized_dag(self, **_: Any) -> bool:
        """Return that the user has all rights on DAGs."""
        return True


def user(role: str) -> SimpleAuthManagerUser:
    """A user with a role."""
    return SimpleAuthManagerUser(username="somebody", role=role)


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize(
    ("role", "images", "may"),
    [
        ("viewer", False, set()),
        ("user", True, ALL),
        ("op", True, ALL),
        ("admin", True, ALL),
    ],
)
def test_the_roles_of_the_simple_auth_manager(role: str, images: bool, may: set[str]) -> None:
    assert isinstance(rights.get_auth_manager(), SimpleAuthManager)
    assert rights.images_shown(REQUEST, user(role)) is images
    assert rights.actions(REQUEST, user(role)) == may
    assert set(rights.kinds_to_open(REQUEST, user(role))) == may & {"review", "release"}


@pytest.mark.parametrize(("views", "images"), [((rights.IMAGES,), True), (("DAG Runs",), False)])
def test_another_auth_manager_tells_images_apart_from_cases(
    monkeypatch: pytest.MonkeyPatch, views: tuple[str, ...], images: bool
) -> None:
    monkeypatch.setattr(rights, "get_auth_manager", lambda: OtherManager(*views))
    assert rights.images_shown(REQUEST, None) is images
    if not images:
        with pytest.raises(HTTPException) as refused:
            rights.may_see_images(REQUEST, None)
        assert refused.value.status_code == 403
