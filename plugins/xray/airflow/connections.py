"""The Airflow connections that a deployment provides, and clients made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xray.storage import ObjectStore

S3_CONNECTION = "xray_s3"
"""Type aws: the object store. ``endpoint_url`` in its extra for one that is not AWS."""
KAFKA_CONNECTION = "xray_kafka"
"""Type kafka: the brokers and the consumer group."""
API_CONNECTION = "xray_api"
"""Type http: this Airflow's own REST API, with a service account's login."""


def object_store() -> ObjectStore:
    """The object store of the connection ``xray_s3``."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.config import Config

    from xray.storage import ObjectStore

    hook = S3Hook(aws_conn_id=S3_CONNECTION)
    # A store that is away is found out in seconds: the task is tried again, and blocks no worker.
    # What the connection says goes before this.
    patience = Config(
        connect_timeout=5, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return ObjectStore(hook.get_client_type(config=patience.merge(hook.config)))
