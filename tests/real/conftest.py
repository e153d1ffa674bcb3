"""A Kafka broker with a topic for the notifications of each gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.servers.real.kafka import Kafka
from tests.support.gateways import STORES


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with Kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        for store in STORES:
            kafka.create_topic(store.__name__)
        yield kafka
