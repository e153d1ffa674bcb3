"""xray.airflow.connections: which Kafka configurations are refused"""

from __future__ import annotations

from typing import Any

import pytest

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
