"""python -m xray setup on Apache Kafka: the topics, created once with their configuration"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from include.servers.real.kafka import Kafka
from xray.airflow.deployment import clients, create, wanted


def test_the_topics_are_created_once_with_their_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Kafka(tmp_path / "kafka", settings={"auto.create.topics.enable": "false"}) as kafka:
        connection = {"conn_type": "kafka", "extra": kafka.client}
        monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(connection))
        said = [
            {answer.sentence[:8] for answer in create.topics(clients.Kafka(), dry_run=dry_run)}
            for dry_run in (True, False, False)
        ]
        assert said == [{create.WOULD_CREATE[:8]}, {create.CREATED}, {create.EXISTS[:8]}]
        admin = AdminClient(kafka.client)
        known = admin.list_topics(timeout=30).topics
        for name, want in wanted.TOPICS.items():
            assert len(known[name].partitions) == want.partitions
            asked = ConfigResource(ResourceType.TOPIC, name)
            found = admin.describe_configs([asked])[asked].result(30)
            assert {key: found[key].value for key in want.config} == dict(want.config)
