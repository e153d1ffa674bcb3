"""The Airflow connections that a deployment provides, and the clients made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xray.errors import SettingsError

if TYPE_CHECKING:
    from xray.storage import ObjectStore

S3_CONNECTION = "xray_s3"
"""Type aws: the object store. Its extra has an ``endpoint_url`` unless the store is AWS."""
KAFKA_CONNECTION = "xray_kafka"
"""Type kafka: the brokers and the consumer group."""
API_CONNECTION = "xray_api"
"""Type http: the REST API of this Airflow, with the login of a service account."""
KAFKA_SECONDS = 10.0
"""The timeout of a single request to a Kafka broker, in seconds."""


def object_store() -> ObjectStore:
    """Return the object store of the connection ``xray_s3``."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    from xray.storage import ObjectStore

    hook = S3Hook(aws_conn_id=S3_CONNECTION)
    # Short timeouts: when the store is down, the task fails within seconds and is retried later,
    # so that it does not block a worker. The connection's own configuration takes precedence.
    timeouts = Config(
        connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return ObjectStore(hook.get_client_type(config=timeouts.merge(hook.config)))


def check_kafka_connection(config: Mapping[str, Any]) -> None:
    """Refuse a Kafka configuration with which the listener would lose messages.

    Args:
        config: the extra of the connection ``xray_kafka``.

    Raises:
        SettingsError: a property is missing or wrong. The message names the property, its value,
            and the value it must have.
    """
    problem = None
    if not config.get("bootstrap.servers"):
        problem = '"bootstrap.servers" is not set'
    elif str(config.get("enable.auto.commit", "true")).lower() != "false":
        problem = (
            f'"enable.auto.commit" must be false, not {config.get("enable.auto.commit", "unset")}: '
            "otherwise offsets are committed before their runs exist"
        )
    elif not config.get("group.id"):
        problem = '"group.id" is not set'
    elif config.get("auto.offset.reset") not in ("earliest", "smallest", "beginning"):
        problem = (
            '"auto.offset.reset" must be "earliest": otherwise a new consumer group skips the '
            "messages that are waiting"
        )
    if problem:
        raise SettingsError(f"The Airflow connection {KAFKA_CONNECTION}: {problem}.")
