"""xray.airflow.api: on an API server of the test's own"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.fake_api import FakeApi
from xray.airflow import session
from xray.airflow.api import RunFailedError, RunRefusedError, RunsClient, Started
from xray.errors import BlockedError, TransientError


def start(api: FakeApi, *run_ids: str, password: str = "right") -> list[Started]:
    async def go() -> list[Started]:
        async with RunsClient(api.url, "xray", password) as client:
            return await asyncio.gather(
                *(client.start("xray_case", run_id, {"key": "k"}) for run_id in run_ids)
            )

    return asyncio.run(go())


def test_a_run_is_started_once(api: FakeApi) -> None:
    assert start(api, "a") == [Started.NEW]
    assert start(api, "a") == [Started.DUPLICATE]
    assert api.runs == {"a": {"key": "k"}}


def test_many_calls_log_in_once(api: FakeApi) -> None:
    assert start(api, *map(str, range(50))) == [Started.NEW] * 50
    assert api.logins == 1


def test_an_expired_token_is_renewed_once(api: FakeApi) -> None:
    async def go() -> list[Started]:
        async with RunsClient(api.url, "xray", "right") as client:
            await client.start("xray_case", "first", {})
            with api.lock:
                api.token = "another"
            return await asyncio.gather(
                *(client.start("xray_case", str(number), {}) for number in range(20))
            )

    assert asyncio.run(go()) == [Started.NEW] * 20
    assert api.logins == 2


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "may not start runs"), (404, "knows no DAG"), (429, "429"), (500, "500"), (503, "503")],
)
def test_an_error_that_may_pass_or_be_fixed_is_transient(
    api: FakeApi, status: int, said: str
) -> None:
    api.refuse = [status]
    with pytest.raises(TransientError, match=said):
        start(api, "a")
    assert start(api, "a") == [Started.NEW]


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_run_is_reported_without_its_conf(api: FakeApi, status: int) -> None:
    api.refuse = [status]
    with pytest.raises(RunRefusedError) as caught:
        start(api, "a")
    assert str(status) in str(caught.value)
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"has_import_errors": True}, "import error"),
        ({"allowed_run_types": ["scheduled"]}, 'add "manual" to its allowed run types'),
    ],
)
def test_a_dag_that_can_start_no_run_is_a_transient_error(
    api: FakeApi, wrong: dict[str, Any], said: str
) -> None:
    good = dict(api.dag)
    api.dag |= wrong
    api.refuse = [400]
    with pytest.raises(TransientError, match=said):
        start(api, "a")
    api.dag = good
    assert start(api, "a") == [Started.NEW]


def test_a_refused_login_is_not_tried_by_each_run(api: FakeApi) -> None:
    async def go() -> list[Any]:
        async with RunsClient(api.url, "xray", "wrong") as client:
            return await asyncio.gather(
                *(client.start("xray_case", str(number), {}) for number in range(30)),
                return_exceptions=True,
            )

    assert {type(error) for error in asyncio.run(go())} == {BlockedError}
    assert api.logins == 1


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the client sees, in seconds."""
    time = [1000.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: time[0]))
    return time


def starts_after(api: FakeApi, change: Callable[[], None]) -> list[Any]:
    """Start a run, call ``change``, and start 20 more runs; return what became of those."""

    async def go() -> list[Any]:
        async with RunsClient(api.url, "xray", "right") as client:
            await client.start("xray_case", "first", {})
            with api.lock:
                change()
            return await asyncio.gather(
                *(client.start("xray_case", str(number), {}) for number in range(20)),
                return_exceptions=True,
            )

    return asyncio.run(go())


@pytest.mark.parametrize("detail", ["Invalid JWT token", "Forbidden"])
def test_a_token_that_is_forbidden_is_renewed_once(
    api: FakeApi, now: list[float], detail: str
) -> None:
    """The secret that signs tokens was changed, or the rights that a token names."""

    def change() -> None:
        now[0] += 3600
        api.token, api.refusal = "another", (403, detail)

    assert starts_after(api, change) == [Started.NEW] * 20
    assert api.logins == 2


@pytest.mark.parametrize(("seconds", "logins"), [(3600, 2), (5, 1)])
def test_a_missing_right_is_named_without_a_storm_of_logins(
    api: FakeApi, now: list[float], seconds: float, logins: int
) -> None:
    def change() -> None:
        now[0] += seconds
        api.forbidden = True

    errors = starts_after(api, change)
    assert {type(error) for error in errors} == {BlockedError}
    assert {str(error) for error in errors} == {
        "The account of the connection xray_api may not start runs of xray_case: give it that "
        "right."
    }
    assert api.logins == logins


def test_a_token_that_is_never_accepted_is_no_missing_right(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = api.handle

    def handle(path: str, headers: Any, body: Any) -> tuple[int, Any]:
        answer = original(path, headers, body)
        api.token = "that of another server"
        return answer

    api.refusal = (403, "Invalid JWT token")
    monkeypatch.setattr(api, "handle", handle)
    with pytest.raises(BlockedError, match=r"same \[api_auth\] jwt_secret"):
        start(api, "a")
    assert api.logins == 1


def test_a_conflict_without_a_run_is_no_duplicate(api: FakeApi) -> None:
    api.conflicts = 1
    with pytest.raises(RunFailedError, match=r"HTTP 409"):
        start(api, "a")
    assert start(api, "a") == [Started.NEW]
    assert start(api, "a") == [Started.DUPLICATE]


def test_a_conflict_that_cannot_be_looked_up_is_not_counted(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(api, "a")
    monkeypatch.setattr(api, "read", lambda _: (503, {}))
    with pytest.raises(TransientError, match="cannot read runs of xray_case now"):
        start(api, "a")


def test_whether_a_dag_is_paused(api: FakeApi) -> None:
    async def go() -> bool:
        async with RunsClient(api.url, "xray", "right") as client:
            return await client.is_paused("xray_listener")

    assert asyncio.run(go()) is False
    api.dag["is_paused"] = True
    assert asyncio.run(go()) is True


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"host": "api", "port": 8080}, "http://api:8080"),
        ({"host": "api", "schema": "https"}, "https://api"),
        ({"host": "https://air.example/flow"}, "https://air.example/flow/"),
    ],
)
def test_a_connection_names_the_server(given: dict[str, Any], url: str) -> None:
    from airflow.sdk import Connection

    client = RunsClient.from_connection(Connection(conn_id="xray_api", conn_type="http", **given))
    assert str(client.base_url) == url


def test_a_wrong_password_says_where_to_look(api: FakeApi) -> None:
    with pytest.raises(TransientError, match="login and password of the connection xray_api"):
        start(api, "a", password="wrong")


def test_an_api_that_is_down_is_a_transient_error(api: FakeApi) -> None:
    api.close()
    with pytest.raises(TransientError, match="does not answer"):
        start(api, "a")


def test_a_note_is_set_and_cut_off(api: FakeApi) -> None:
    async def set_note(text: str) -> None:
        async with RunsClient(api.url, "xray", "right") as client:
            await client.set_note("xray_case", "xray__1", text)

    asyncio.run(set_note("It is no image. " * 100))
    assert api.notes["xray__1"].startswith("It is no image.")
    assert len(api.notes["xray__1"]) == 1000, "the API takes no more"
