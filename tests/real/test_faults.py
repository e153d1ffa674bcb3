"""Exactly one run per notification under faults of Apache Kafka, PostgreSQL and Airflow"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

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
from xray.airflow.listener import dead_letters
from xray.airflow.listener.dead_letters import DeadLetterProducer
from xray.errors import TransientError

pytestmark = pytest.mark.timeout(600)
KAFKA = "AIRFLOW_CONN_XRAY_KAFKA"
REFUSED = "Kafka refuses the connection xray_kafka"


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
    lags = [f"airflow.xray.notifications.lag.partition_{number}" for number in range(3)]
    servers.until(
        lambda: [servers.metrics.gauges.get(name) for name in lags] == [0, 0, 0], "No lag", 20
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


def test_the_listener_is_paused_when_it_starts(servers: Rig, counts: Callable[..., None]) -> None:
    sent = messages("from-the-start", 600)
    before = servers.count()
    servers.pause("xray_listener", True)
    servers.restart("triggerer")
    servers.send(sent.values())
    gauges = servers.metrics.gauges
    lags = [f"airflow.xray.notifications.lag.partition_{number}" for number in range(3)]
    servers.until(
        lambda: sum(gauges.get(name, 0) for name in lags) == 600, "the lag of all messages", 120
    )
    assert gauges["airflow.xray.notifications.paused"] == 1
    assert servers.count() == before
    servers.pause("xray_listener", False)
    servers.assert_one_run_each(sent)
    counts("listener started while paused, then unpaused", 600, 600)


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


AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
}
"""The broker's own settings with which access control lists count for the listener's account."""


@pytest.fixture(scope="module")
def secure(servers: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker with TLS, logins and access control lists."""
    folder = tmp_path_factory.mktemp("secure")
    with Kafka(folder / "kafka", secure=True, settings=AUTHORIZER) as kafka:
        kafka.create_topic(TOPIC)
        yield kafka


def connect(servers: Rig, kafka: Kafka, **changes: Any) -> None:
    """Point the connection of the test's own sensors to another broker, also while one runs."""
    connection = json.loads(servers.stack.env[KAFKA])
    extra = {**connection["extra"], **kafka.client, **changes}
    servers.stack.env[KAFKA] = json.dumps({**connection, "extra": extra})
    if KAFKA in os.environ:
        os.environ[KAFKA] = servers.stack.env[KAFKA]


@pytest.fixture
def connection(servers: Rig) -> Iterator[None]:
    """Put the connection back at the end."""
    before = servers.stack.env[KAFKA]
    yield
    servers.stack.env[KAFKA] = before


def produce(kafka: Kafka, sent: dict[str, bytes], topic: str = TOPIC) -> None:
    errors: list[Any] = []
    producer = Producer({**kafka.client, "partitioner": "random"})
    for message in sent.values():
        producer.produce(topic, message, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(30) == 0
    assert errors == [None] * len(sent)


def until_read(servers: Rig, kafka: Kafka, topic: str = TOPIC, group: str = GROUP) -> None:
    servers.until(
        lambda: kafka.committed(group, topic) == kafka.end_offsets(topic), "the commits", 90
    )


@pytest.mark.usefixtures("connection")
def test_a_wrong_login_at_kafka_is_corrected(
    servers: Rig, secure: Kafka, counts: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    sent = messages("secure", 20)
    produce(secure, sent)
    connect(servers, secure, **{"sasl.password": "wrong"})
    with servers.member() as member:
        servers.until(lambda: REFUSED in caplog.text, "the sentence that says what to do", 60)
        connect(servers, secure)
        until_read(servers, secure)
        assert member.error is None
    found = servers.keys()
    assert {key: found[key] for key in sent} == dict.fromkeys(sent, 1)
    counts("wrong login at Kafka, then corrected", 20, 20, f"“{REFUSED}…”")


@pytest.mark.usefixtures("connection")
@pytest.mark.parametrize(
    ("resource", "name"), [(ResourceType.TOPIC, TOPIC), (ResourceType.GROUP, GROUP)]
)
def test_a_right_at_kafka_is_revoked_while_it_listens(
    servers: Rig,
    secure: Kafka,
    counts: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    resource: ResourceType,
    name: str,
) -> None:
    prefix = f"right-{resource.name}"
    first, second = messages(f"{prefix}-1", 20), messages(f"{prefix}-2", 20)
    admin = AdminClient(secure.client)
    resource_name = (resource, name, ResourcePatternType.LITERAL, "User:xray", "*")
    # Once a resource has a rule, only what a rule allows is allowed.
    allowed = AclBinding(*resource_name, AclOperation.ALL, AclPermissionType.ALLOW)
    denied = AclBinding(*resource_name, AclOperation.READ, AclPermissionType.DENY)
    rule = AclBindingFilter(*resource_name, AclOperation.READ, AclPermissionType.DENY)
    connect(servers, secure)
    with servers.member() as member:
        produce(secure, first)
        until_read(servers, secure)
        for future in admin.create_acls([allowed, denied]).values():
            future.result(30)
        servers.until(lambda: REFUSED in caplog.text, "the sentence that says what to do", 90)
        produce(secure, second)
        admin.delete_acls([rule])[rule].result(30)
        until_read(servers, secure)
        assert member.error is None
    found = servers.keys()
    for sent in (first, second):
        assert {key: found[key] for key in sent} == dict.fromkeys(sent, 1)
    fault = f"right to read the {resource.name.lower()} revoked at Kafka, then given back"
    counts(fault, 40, 40, f"“{REFUSED}…”")


def test_a_silent_broker_gets_one_copy_of_a_letter(
    servers: Rig, counts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker does not answer during five attempts, and then answers all requests."""
    servers.kafka.create_topic("letters")
    servers.send([b"nonsense"], "letters")
    process = servers.kafka.child.process if servers.kafka.child else None
    assert process is not None
    (letter,) = received(servers.kafka, "letters", 1)
    monkeypatch.setenv(KAFKA, servers.stack.env[KAFKA])
    monkeypatch.setattr(dead_letters, "POLL_SECONDS", 0.1)

    async def go() -> None:
        producer = DeadLetterProducer("letters")
        await producer.send(letter, "the first, so that the client is connected")
        (again,) = await asyncio.to_thread(received, servers.kafka, "letters", 1, 1)
        process.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(dead_letters, "DELIVERY_SECONDS", 1.0)
        try:
            for _ in range(5):
                with pytest.raises(TransientError):
                    await producer.send(again, "bad")
        finally:
            process.send_signal(signal.SIGCONT)
        monkeypatch.setattr(dead_letters, "DELIVERY_SECONDS", 60.0)
        await producer.send(again, "bad")
        await producer.close()

    asyncio.run(go())
    assert sum(servers.kafka.end_offsets("letters").values()) == 3
    counts("a broker that does not answer while a letter is written", 1, 0, "one letter")


def received(kafka: Kafka, topic: str, count: int, skip: int = 0) -> list[Message]:
    """Return messages of a topic, in the order in which they come."""
    consumer = Consumer(
        {**kafka.client, "group.id": f"reader-{skip}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([topic])
    found: list[Message] = []
    while len(found) < skip + count:
        message = consumer.poll(30)
        assert message is not None
        if not message.error():
            found.append(message)
    consumer.close()
    return sorted(found, key=lambda one: one.timestamp()[1])[skip:]


def test_messages_are_removed_before_they_are_read(
    servers: Rig, counts: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    topic = "storage-short"
    servers.kafka.create_topic(topic)
    first, lost, kept = messages("kept-1", 60), messages("lost", 90), messages("kept-2", 60)
    with servers.member(topic=topic):
        servers.send(first.values(), topic, spread=3)
        servers.until_committed(topic)
    read = servers.kafka.end_offsets(topic)
    servers.send(lost.values(), topic, spread=3)
    ends = servers.kafka.end_offsets(topic)
    gone = [TopicPartition(topic, number, end) for number, end in ends.items()]
    admin = AdminClient(servers.kafka.client)
    for future in admin.delete_records(gone).values():
        future.result(30)
    servers.send(kept.values(), topic, spread=3)
    with servers.member(topic=topic):
        servers.until_committed(topic)
        ids = {f"xray_lost__{topic}.{number}.{read[number]}-{end}" for number, end in ends.items()}
        path = "/dags/xray_reconcile/dagRuns"
        found = {run["dag_run_id"]: run["conf"] for run in servers.api.all(path, "dag_runs")}
        assert ids <= set(found)
        for run in ids:
            since, until = (datetime.fromisoformat(found[run][name]) for name in ("since", "until"))
            assert since < until
    assert caplog.text.count("before they were read") == 3, "once for each partition"
    with servers.member(topic=topic):
        servers.send(messages("kept-3", 3).values(), topic)
        servers.until_committed(topic)
    assert caplog.text.count("before they were read") == 3, "and never again"
    counts(
        "90 messages removed by Kafka before they were read",
        213,
        123,
        "`xray_reconcile` was started three times",
    )


@pytest.mark.usefixtures("connection")
def test_members_of_the_cooperative_protocol(servers: Rig, counts: Callable[..., None]) -> None:
    topic, group = "storage-cooperative", "cooperative"
    servers.kafka.create_topic(topic)
    sent = messages("cooperative", 300)
    strategy = {"partition.assignment.strategy": "cooperative-sticky", "group.id": group}
    connect(servers, servers.kafka, **strategy)
    before = servers.count()
    with servers.member(topic=topic):
        servers.send(sent.values(), topic)
        servers.until(lambda: servers.count() >= before + 20, "runs")
        with servers.member(topic=topic):
            servers.until(lambda: servers.count() >= before + 100, "more runs")
        until_read(servers, servers.kafka, topic, group)
    counts("two sensors with the cooperative protocol, one of which leaves", 300, 300)


def test_no_fault_stopped_the_listener(servers: Rig) -> None:
    runs = servers.api.all("/dags/xray_listener/dagRuns", "dag_runs")
    assert [run["state"] for run in runs] == ["running"], (
        "the first run of the listener is still running"
    )
    assert sum(servers.kafka.committed(GROUP, TOPIC).values()) > 3000
