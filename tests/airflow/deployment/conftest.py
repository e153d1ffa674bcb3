"""A whole deployment: a store, a broker, an API server, the connections and the Variables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support import SECRET
from tests.support.fake_airflow import FakeAirflow
from xray.airflow import config
from xray.airflow.deployment import check, clients, topics
from xray.case import Buckets

PASSWORD = "the-password-of-the-account"
BUCKETS = Buckets("xray-data-in")


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    """An API server of the test's own."""
    api = FakeAirflow()
    api.password = PASSWORD
    yield api
    api.close()


@pytest.fixture
def brokers(embedded_broker: str) -> str:
    """The embedded broker in any case; tests/real/test_check.py has Apache Kafka."""
    return embedded_broker


@pytest.fixture
def deployed(
    s3_connection: Any, brokers: str, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The S3 client of a deployment that lacks nothing.

    The embedded broker has no controller, so that it can neither describe nor create a topic.
    """
    host, port = airflow.server.server_address[:2]
    api = {"conn_type": "http", "host": host, "port": port, "login": "xray", "password": PASSWORD}
    extra = {
        "bootstrap.servers": brokers,
        "group.id": "xray",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    kafka = {"conn_type": "kafka", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_API", json.dumps(api))
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(kafka))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    monkeypatch.setattr(topics, "SECONDS", 1.0)
    announce(s3_connection)
    return s3_connection


def announce(s3: Any, *events: str, arn: str = "") -> None:
    """Let the landing bucket announce events to the topic, or uploads if none is given."""
    topic = {
        "Id": "storage",
        "TopicArn": arn or f"arn:aws:sns:us-east-1:123456789012:{config.TOPIC}",
        "Events": list(events or ["s3:ObjectCreated:*"]),
    }
    s3.put_bucket_notification_configuration(
        Bucket=BUCKETS.landing, NotificationConfiguration={"TopicConfigurations": [topic]}
    )


def refuse(s3: Any, operation: str, bucket: str, code: str = "AccessDenied") -> None:
    """Let a client of the store get an error for an operation on a bucket."""

    def handler(params: dict[str, Any], **_: Any) -> None:
        if params["Bucket"] == bucket:
            status = {"HTTPStatusCode": 403}
            raise ClientError({"Error": {"Code": code}, "ResponseMetadata": status}, operation)

    s3.meta.events.register(f"before-parameter-build.s3.{operation}", handler)


def refuses(monkeypatch: pytest.MonkeyPatch, *refused: tuple[str, str]) -> None:
    """Let the store refuse operations on buckets to the account of the connection."""
    hook = clients.s3_hook

    def refusing(attempts: int = 1) -> Any:
        made = hook(attempts)
        for operation, bucket in refused:
            refuse(made.get_conn(), operation, bucket)
        return made

    monkeypatch.setattr(clients, "s3_hook", refusing)


@pytest.fixture
def checked(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return a function that runs the check: its exit status, and the answers by their names."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        status = check.main(["--json", *arguments])
        found: dict[str, Any] = {}
        for row in json.loads(capsys.readouterr().out)["checks"]:
            # Of several answers of one name, the first problem counts.
            if found.get(row["check"], {}).get("result") != "problem":
                found[row["check"]] = row
        return status, found

    return run
