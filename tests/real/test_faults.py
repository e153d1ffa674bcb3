"""Exactly one run per notification under faults of Apache Kafka, PostgreSQL and Airflow"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from include.demo.stack import GROUP
from include.servers.real.kafka import Kafka
from tests.support import notification
from tests.support.rig import (
    LIMIT,
    MAX_POLL_SECONDS,
    TOPIC,
    Rig,
    listener_log,
    messages,
    rig,
    write_case,
)
from xray.errors import SettingsError

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("faults")) as servers:
        yield servers


@pytest.fixture
def counts(record_fault: Callable[..., None], servers: Rig) -> Callable[..., None]:
    """Return a function that checks the number of runs and records the fault for the table."""
    began, before = time.monotonic(), servers.count()

    def record(fault: str, sent: int, wanted: int, remark: str = "") -> None:
        runs = servers.count() - before
        assert runs == wanted, "as many runs as notifications, no more"
        seconds = time.monotonic() - began
        found = servers.keys()
        record_fault(fault, sent, runs, found.total() - len(found), seconds, remark)

    return record


def test_a_burst(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("burst", 1000)
    began = time.monotonic()
    servers.send(sent.values())
    assert servers.assert_one_run_each(sent) == 1000
    rate = 1000 / (time.monotonic() - began)
    counts("1,000 notifications in one burst, 3 partitions", 1000, 1000, f"{rate:.0f} runs/s")
    servers.until(
        lambda: servers.metrics.counts["airflow.xray.notifications.started"] == 1000, "Metrics", 20
    )
    assert servers.metrics.counts["airflow.xray.notifications.received"] == 1000
    servers.until(
        lambda: servers.metrics.gauges.get("airflow.xray.notifications.lag") == 0, "No lag", 20
    )
    assert "burst/" not in listener_log(servers.stack.home), "no object key is logged"


def test_the_triggerer_is_killed_three_times(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("triggerer", 600)
    servers.send(sent.values())
    recoveries = []
    for _ in range(3):
        seen = servers.count()
        servers.until(lambda seen=seen: servers.count() >= seen + 30, "more runs")
        servers.restart("triggerer")
        killed, seen = time.monotonic(), servers.count()
        # Up to eight requests may have been in progress at the API when the triggerer was killed.
        # Their runs do not show a recovery.
        servers.until(lambda seen=seen: servers.count() > seen + 8, "the recovery")
        recoveries.append(time.monotonic() - killed)
    servers.assert_one_run_each(sent)
    took = ", ".join(f"{seconds:.0f}" for seconds in recoveries)
    counts("`kill -9` of the triggerer, three times in a burst", 600, 600, f"back after {took} s")


def test_the_scheduler_is_killed(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("scheduler", 200)
    before = servers.count()
    servers.send(sent.values())
    servers.until(lambda: servers.count() >= before + 20, "runs")
    servers.restart("scheduler")
    servers.assert_one_run_each(sent)
    counts("`kill -9` of the scheduler in a burst", 200, 200)


def test_the_api_is_down_for_longer_than_kafka_waits(
    servers: Rig, counts: Callable[..., None]
) -> None:
    sent = messages("api", 300)
    before = servers.count()
    servers.send(sent.values())
    servers.until(lambda: servers.count() >= before + 20, "runs")
    servers.restart("api-server", after=MAX_POLL_SECONDS + 5)
    servers.until(servers.stack.healthy, "a healthy API")
    servers.assert_one_run_each(sent)
    assert "does not answer" in listener_log(servers.stack.home)
    away = f"away {MAX_POLL_SECONDS + 5} s and its start, max.poll.interval {MAX_POLL_SECONDS} s"
    counts("`kill -9` of the API server in a burst", 300, 300, away)


def test_the_broker_is_restarted(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("broker", 300)
    before = servers.count()
    servers.send(sent.values())
    servers.until(lambda: servers.count() >= before + 20, "runs")
    servers.kafka.kill()
    servers.kafka.start()
    servers.assert_one_run_each(sent)
    counts("`kill -9` and restart of the broker in a burst", 300, 300)


def test_the_topic_is_deleted_and_created_again(servers: Rig, counts: Callable[..., None]) -> None:
    # The new topic gets more messages than the old one had: only then could the offsets of the old
    # topic make the listener skip messages of the new one.
    topic = "storage-anew"
    servers.kafka.create_topic(topic)
    first, second = messages("old", 60), messages("new", 300)
    with servers.member(topic=topic):
        servers.send(first.values(), topic)
        servers.until_committed(topic)
        servers.kafka.delete_topic(topic)
        servers.kafka.create_topic(topic)
        servers.send([*first.values(), *second.values()], topic)
        found: dict[str, int] = {}

        def all_there() -> bool:
            found.update(servers.keys())
            return set(second) <= set(found)

        servers.until(all_there, "the runs of the new topic", 120)
    assert all(found[key] == 1 for key in [*first, *second])
    counts("topic deleted and created again, the first 60 sent again", 420, 360)


def test_a_second_sensor_joins_and_leaves(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("second", 400)
    before = servers.count()
    servers.send(sent.values())
    servers.until(lambda: servers.count() >= before + 20, "runs")
    with servers.member():
        servers.until(lambda: servers.count() >= before + 150, "more runs")
    servers.assert_one_run_each(sent)
    counts("a second sensor joins and leaves in a burst", 400, 400)


def test_every_message_comes_twice(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("twice", 200)
    servers.send([*sent.values(), *reversed(sent.values())])
    servers.assert_one_run_each(sent)
    counts("every message delivered twice", 400, 200)


def _changed(**changes: Any) -> bytes:
    message = json.loads(notification("bad"))
    message["Records"][0] |= changes
    return json.dumps(message).encode()


def _with_object(**changes: Any) -> bytes:
    entry = {"key": "bad", "eTag": "abc", "size": 3} | changes
    return _changed(s3={"bucket": {"name": "xray-data-in"}, "object": entry})


BAD = {
    "nonsense": (b"nonsense", "not JSON"),
    "not UTF-8": (b"\xff\xfe\x00", "not JSON"),
    "cut short": (notification("bad")[:-9], "not JSON"),
    "deeply nested": (b"[" * 50_000, "not JSON"),
    "a number": (b"7", "JSON int"),
    "a string": (b'"text"', "JSON str"),
    "no Records": (b"{}", "no list of Records"),
    "Records of the wrong kind": (b'{"Records": "text"}', "no list of Records"),
    "a record of the wrong kind": (b'{"Records": [7]}', "record is a int"),
    "1001 records": (json.dumps({"Records": [{}] * 1001}).encode(), "at most 1000"),
    "no event": (_changed(eventName=None), "eventName"),
    "no s3": (_changed(s3=None), "s3 is a NoneType"),
    "no bucket": (_changed(s3={"object": {"key": "k"}}), "s3.bucket"),
    "an empty key": (_with_object(key=""), "key is missing"),
    "a key too long": (_with_object(key="k" * 1025), "1025 bytes"),
    "a key with NUL": (_with_object(key="a\0b"), "NUL"),
    "half a surrogate": (_with_object(key="\ud800"), "UTF-8"),
    "a size that is no number": (_with_object(size="big"), "size"),
    "an etag that is no text": (_with_object(eTag=7), "eTag"),
    "an object the DAG refuses": (_with_object(size=LIMIT + 1), "HTTP 400"),
}


def test_bad_messages_among_good_ones(servers: Rig, counts: Callable[..., None]) -> None:
    assert len(BAD) == 20
    good = messages("good", 100)
    bad = [content for content, _ in BAD.values()] * 5
    # The five refused objects differ, so that they become five runs once the DAG is fixed.
    refused = [notification(f"refused/{number}", size=LIMIT + 1) for number in range(5)]
    bad = [one for one in bad if one != BAD["an object the DAG refuses"][0]] + refused
    mixed = [one for pair in zip(good.values(), bad, strict=True) for one in pair]
    before = sum(servers.kafka.end_offsets("storage.dlq").values())
    servers.send(mixed)
    servers.assert_one_run_each(good)
    assert before == 0
    letters = servers.dead_letters(100)
    assert sorted(value for value, _ in letters) == sorted(bad), "each unchanged"
    expected = dict(BAD.values())
    expected |= dict.fromkeys(refused, "HTTP 400")
    assert [(value, reason) for value, reason in letters if expected[value] not in reason] == []
    counts("100 bad messages of 20 kinds among 100 good ones", 200, 100, "100 dead letters")


def replay(servers: Rig, **conf: Any) -> dict[str, Any]:
    """What a run of xray_replay returns."""
    run = servers.api.post("/dags/xray_replay/dagRuns", {"logical_date": None, "conf": conf})
    path = f"/dags/xray_replay/dagRuns/{run['dag_run_id']}"
    servers.until(
        lambda: servers.api.get(path)["state"] in ("success", "failed"), "the end of the replay"
    )
    assert servers.api.get(path)["state"] == "success"
    value = servers.api.get(f"{path}/taskInstances/replay_letters/xcomEntries/return_value")
    answer = value["value"]
    return json.loads(answer) if isinstance(answer, str) else dict(answer)


def test_dead_letters_are_replayed(servers: Rig, counts: Callable[..., None]) -> None:
    found = replay(servers, dry_run=True)
    assert found["letters"] == 100
    assert found["started"] == 0
    found = replay(servers, reason="HTTP 400")
    assert (found["replayed"], found["still_bad"]) == (5, 5)

    write_case(servers.stack.dags, 10 * LIMIT)
    params = "/dags/xray_case/details"
    servers.until(
        lambda: str(10 * LIMIT) in json.dumps(servers.api.get(params)["params"]),
        "the corrected DAG",
    )
    found = replay(servers, reason="HTTP 400")
    assert (found["replayed"], found["started"], found["still_bad"]) == (5, 5, 0)
    found = replay(servers)
    assert (found["replayed"], found["duplicate"], found["still_bad"]) == (100, 5, 95)
    assert sum(servers.kafka.end_offsets("storage.dlq").values()) == 100, "no new letters"
    counts("replay of the 100 letters after the DAG is repaired, twice", 100, 5, "95 still bad")


def test_the_listener_is_paused(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("paused", 600)
    before = servers.count()
    servers.send(sent.values())
    servers.until(lambda: servers.count() >= before + 20, "runs")
    servers.pause("xray_listener", True)
    began = time.monotonic()
    still, since = servers.count(), time.monotonic()
    while time.monotonic() - since < 4:  # No new run for four seconds: the listener has stopped.
        if (now := servers.count()) != still:
            still, since = now, time.monotonic()
        assert time.monotonic() - began < 20
        time.sleep(0.2)
    stopped = since - began
    assert stopped < 10
    assert still < before + 600
    servers.pause("xray_listener", False)
    servers.assert_one_run_each(sent)
    counts("listener paused in a burst, then unpaused", 600, 600, f"stopped after {stopped:.1f} s")


def test_the_case_dag_is_paused(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("case", 100)
    servers.pause("xray_case", True)
    servers.send(sent.values())
    servers.assert_one_run_each(sent)
    assert set(sent) <= set(servers.keys(state="queued"))
    servers.pause("xray_case", False)
    servers.until(lambda: set(sent) <= set(servers.keys(state="success")), "the end of the runs")
    counts("case DAG paused, then unpaused", 100, 100, "100 waited, and ran")


@pytest.mark.parametrize(
    ("fault", "login", "dag_id", "said"),
    [
        ("wrong password", "nobody", "xray_case", "check login and password of the connection"),
        ("revoked rights", "xray-viewer", "xray_case", "give it that right"),
        ("missing DAG", "", "xray_gone", "check that its file exists"),
    ],
)
def test_a_configuration_error_is_logged_and_loses_nothing(
    servers: Rig,
    counts: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    fault: str,
    login: str,
    dag_id: str,
    said: str,
) -> None:
    topic = f"mend-{fault.replace(' ', '-')}"
    servers.kafka.create_topic(topic)
    sent = messages(topic, 50)
    servers.send(sent.values(), topic)
    name = "AIRFLOW_CONN_XRAY_API"
    good = servers.stack.env[name]
    if login:
        bad = {**json.loads(good), "login": login, "password": servers.stack.password}
        servers.stack.env[name] = json.dumps(bad)
    caplog.set_level(logging.INFO, "xray")
    before = servers.count()
    try:
        with servers.member(topic=topic, dag_id=dag_id) as member:
            servers.until(lambda: said in caplog.text, "the message that says what to do", 60)
            assert member.error is None
    finally:
        servers.stack.env[name] = good
    assert servers.count() == before
    assert sum(servers.kafka.committed(GROUP, topic).values()) == 0
    with servers.member(topic=topic):
        servers.until_committed(topic)
    found = servers.keys()
    assert {key: found[key] for key in sent} == dict.fromkeys(sent, 1)
    counts(f"{fault}, then corrected", 50, 50, f"“…{said}…”")


def test_sasl_and_tls_by_the_connection_alone(servers: Rig, tmp_path: Path) -> None:
    name = "AIRFLOW_CONN_XRAY_KAFKA"
    plain = json.loads(servers.stack.env[name])
    sent = messages("secure", 20)
    with Kafka(tmp_path / "kafka", secure=True) as kafka:
        kafka.create_topic(TOPIC)
        producer = Producer(kafka.client)
        for message in sent.values():
            producer.produce(TOPIC, message)
        assert producer.flush(30) == 0

        def connect(**changes: Any) -> None:
            extra = {**plain["extra"], **kafka.client, **changes}
            servers.stack.env[name] = json.dumps({**plain, "extra": extra})

        try:
            connect(**{"sasl.password": "wrong"})
            with servers.member() as member:
                servers.until(lambda: member.error is not None, "the error", 60)
            assert isinstance(member.error, SettingsError)
            assert "Kafka refuses the connection xray_kafka" in str(member.error)
            connect()
            with servers.member():
                servers.until(
                    lambda: kafka.committed(GROUP, TOPIC) == kafka.end_offsets(TOPIC), "the commits"
                )
        finally:
            servers.stack.env[name] = json.dumps(plain)
    found = servers.keys()
    assert {key: found[key] for key in sent} == dict.fromkeys(sent, 1)


def test_no_fault_stopped_the_listener(servers: Rig) -> None:
    runs = servers.api.all("/dags/xray_listener/dagRuns", "dag_runs")
    assert [run["state"] for run in runs] == ["running"], (
        "the first run of the listener is still running"
    )
    assert sum(servers.kafka.committed(GROUP, TOPIC).values()) > 3000
