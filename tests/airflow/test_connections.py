"""xray.airflow.connections: clients of the store, and which Kafka configurations are refused"""

from __future__ import annotations

import json
from typing import Any

import pytest
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


def test_a_second_client_reads_nothing_from_the_disk_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the model of S3 takes longer than most steps of a case."""
    extra = {"endpoint_url": "http://127.0.0.1:9", "region_name": "eu-central-1"}
    connection = {"conn_type": "aws", "login": "access", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
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
