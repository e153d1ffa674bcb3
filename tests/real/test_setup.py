"""The local stack's topics, on Apache Kafka"""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from include.servers.real.kafka import Kafka
from include.stack import setup


def test_the_topics_are_created_once_with_their_configuration(tmp_path: Path) -> None:
    with Kafka(tmp_path / "kafka", settings={"auto.create.topics.enable": "false"}) as kafka:
        setup.create_topics(kafka.brokers)
        setup.create_topics(kafka.brokers)
        admin = AdminClient(kafka.client)
        known = admin.list_topics(timeout=30).topics
        for name, (partitions, config) in setup.TOPICS.items():
            assert len(known[name].partitions) == partitions
            asked = ConfigResource(ResourceType.TOPIC, name)
            found = admin.describe_configs([asked])[asked].result(30)
            assert {key: found[key].value for key in config} == config
