"""xray.airflow.connections: clients of the store, and which Kafka configurations are refused"""

from __future__ import annotations

import json
from typing import Any

import boto3.session
import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.loaders import JSONFileLoader

from xray.airflow import connections
from xray.airflow.connections import check_kafka_connection
from xray.errors import SettingsError

GOOD = {
    "bootstrap.servers": "b:1",
    "group.id": "xray",
    "enable.auto.commit": "false",
    "auto.offset.reset": "earliest",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"enable.auto.commit": True}, "must be false, not True"),
        ({"enable.auto.commit": None}, "must be false"),
        ({"group.id": ""}, "group.id"),
        ({"bootstrap.servers": None}, "bootstrap.servers"),
        ({"auto.offset.reset": "latest"}, "earliest"),
    ],
)
def test_a_connection_that_would_lose_messages_is_refused(
    change: dict[str, Any], said: str
) -> None:
    check_kafka_connection(GOOD)
    with pytest.raises(SettingsError, match=said):
        check_kafka_connection({**GOOD, **change})


def connect(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> S3Hook:
    """Set the connection of the store, and return a hook of it."""
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-central-1", **extra}
    connection = {"conn_type": "aws", "login": "access", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    return S3Hook(aws_conn_id="xray_s3")


def test_a_second_client_reads_nothing_from_the_disk_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the model of S3 takes longer than most steps of a case."""
    connect(monkeypatch)
    connections.warm_up()
    read: list[str] = []
    load = JSONFileLoader.load_file

    def counted(self: JSONFileLoader, path: str) -> Any:
        read.append(path)
        return load(self, path)

    monkeypatch.setattr(JSONFileLoader, "load_file", counted)
    client = connections.object_store()._client
    assert read == []
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
    assert client.meta.region_name == "eu-central-1"
    assert (client.meta.config.connect_timeout, client.meta.config.read_timeout) == (5, 30)


def test_the_spare_session_is_used_once_and_is_what_the_hook_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hook = connect(monkeypatch)
    connections.warm_up()
    (spare,) = connections._spare
    first, second, own = connections._session(hook), connections._session(hook), hook.get_session()
    assert first._session is spare
    assert second._session is not spare
    for session in (first, second):
        assert session.region_name == own.region_name == "eu-central-1"
        frozen = session.get_credentials().get_frozen_credentials()
        assert frozen == own.get_credentials().get_frozen_credentials()
        assert session._session.user_agent() == own._session.user_agent()
        assert session.profile_name == own.profile_name


def test_a_role_or_a_session_factory_is_left_to_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    connections.warm_up()
    made = boto3.session.Session()
    monkeypatch.setattr(S3Hook, "get_session", lambda self: made)
    hook = connect(monkeypatch, role_arn="arn:aws:iam::123456789012:role/xray")
    assert connections._session(hook) is made
    monkeypatch.setenv("AIRFLOW__AWS__SESSION_FACTORY", "a.factory.of.the.deployment")
    assert connections._session(connect(monkeypatch)) is made
    assert connections._spare
