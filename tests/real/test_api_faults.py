"""Exactly one run per notification while Airflow's API fails, refuses tokens or loses answers"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.support.api_proxy import ApiProxy, Fault
from tests.support.proxy import LOSE_ANSWER
from tests.support.rig import DEAD_LETTERS, Rig, listener_log, messages, rig

pytestmark = pytest.mark.timeout(900)

API = "AIRFLOW_CONN_XRAY_API"
SECRET = "AIRFLOW__API_AUTH__JWT_SECRET"
START = ("POST", "api/v2/dags/xray_case/dagRuns")
LOGIN = ("POST", "auth/token")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("api-faults")) as servers:
        yield servers


@pytest.fixture
def counts(record_fault: Callable[..., None], servers: Rig) -> Callable[..., None]:
    """Return a function that checks the number of runs and letters, and records the fault."""
    began, before = time.monotonic(), servers.count()
    letters = servers.kafka.end_offsets(DEAD_LETTERS)

    def record(fault: str, sent: int, remark: str = "") -> None:
        runs = servers.count() - before
        assert runs == sent, "as many runs as notifications, no more"
        assert servers.kafka.end_offsets(DEAD_LETTERS) == letters, "no dead letter"
        found = servers.keys()
        doubled = found.total() - len(found)
        record_fault(fault, sent, runs, doubled, time.monotonic() - began, remark)

    return record


def test_the_secret_of_the_tokens_is_changed(servers: Rig, counts: Callable[..., None]) -> None:
    first, then = messages("old secret", 50), messages("new secret", 200)
    servers.send(first.values())
    servers.assert_one_run_each(first)
    servers.stack.env[SECRET] = secrets.token_hex(64)
    for component in ("api-server", "scheduler"):
        servers.restart(component)
    servers.until(servers.stack.healthy, "a healthy API")
    servers.api = servers.stack.api()
    servers.send(then.values())
    servers.assert_one_run_each(then)
    assert "give it that right" not in listener_log(servers.stack.home), "no right is missing"
    counts("the secret that signs the API's tokens is changed", 250)


class Failing:
    """The API behind a proxy that fails as a test wants it, and a sensor that uses it."""

    def __init__(self, servers: Rig, proxy: ApiProxy, topic: str) -> None:
        self.servers, self.topic = servers, topic
        self.requests: Counter[tuple[str, str]] = Counter()
        self._proxy = proxy

    def run(self, sent: dict[str, bytes], fault: Fault) -> None:
        """Send messages, and wait until each has its run."""

        def counted(method: str, path: str) -> int | None:
            self.requests[method, path] += 1
            return fault(method, path)

        self._proxy.fault = counted
        self.servers.kafka.create_topic(self.topic)
        self.servers.send(sent.values(), self.topic)
        with self.servers.member(topic=self.topic) as member:
            self.servers.until_committed(self.topic)
            assert member.error is None
        found = self.servers.keys()
        assert {key: found[key] for key in sent} == dict.fromkeys(sent, 1)


@pytest.fixture
def failing(servers: Rig, request: pytest.FixtureRequest) -> Iterator[Failing]:
    topic = request.node.name.replace("_", "-")
    good = servers.stack.env[API]
    with ApiProxy() as proxy:
        account = json.loads(good)
        proxy.upstream = servers.stack.url
        servers.stack.env[API] = proxy.connection(account["login"], account["password"])
        yield Failing(servers, proxy, topic)
    servers.stack.env[API] = good


def test_half_of_the_calls_fail_at_random(failing: Failing, counts: Callable[..., None]) -> None:
    chance, sent = random.Random(1), messages("random", 1000)
    failing.run(sent, lambda *request: 500 if request == START and chance.random() < 0.5 else None)
    calls = failing.requests[START]
    counts("HTTP 500 on half of the API's calls, at random", 1000, f"{calls} calls, no dead letter")


def test_the_answers_of_half_of_the_calls_are_lost(
    failing: Failing, counts: Callable[..., None]
) -> None:
    chance, sent = random.Random(2), messages("lost", 300)
    failing.run(
        sent,
        lambda *request: LOSE_ANSWER if request == START and chance.random() < 0.5 else None,
    )
    counts("the answers to half of the API's calls are lost", 300)


def test_a_conflict_is_about_another_constraint(
    failing: Failing, counts: Callable[..., None]
) -> None:
    sent = messages("conflict", 100)
    failing.run(
        sent,
        lambda *request: 409 if request == START and failing.requests[START] <= 100 else None,
    )
    counts("HTTP 409 though the run does not exist, on the first 100 calls", 100)


def test_a_right_is_missing_for_a_minute(failing: Failing, counts: Callable[..., None]) -> None:
    sent, began = messages("right", 100), time.monotonic()
    failing.run(
        sent,
        lambda *request: 403 if request == START and time.monotonic() < began + 60 else None,
    )
    assert failing.requests[LOGIN] <= 4, "no storm of logins"
    logins = failing.requests[LOGIN]
    counts("HTTP 403 for a minute", 100, f"{logins} logins")
