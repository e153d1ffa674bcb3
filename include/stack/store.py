"""The client of the stack's object store, configured by environment variables."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

REGION = "us-east-1"
"""Ceph accepts any region; with this one, no location need be given for a new bucket."""


def client(service: str = "s3", **options: Any) -> Any:
    """Return a boto3 client with the credentials of the pipeline's account."""
    # The gateway may restart at any time: requests are retried for about half a minute.
    patience = Config(retries={"mode": "standard", "total_max_attempts": 8})
    return boto3.client(
        service,
        endpoint_url=endpoint(),
        region_name=REGION,
        aws_access_key_id=os.environ["S3_ACCESS_KEY"],
        aws_secret_access_key=os.environ["S3_SECRET_KEY"],
        config=patience.merge(Config(**options)),
    )


def endpoint() -> str:
    """Return the URL of the gateway."""
    return os.environ["S3_ENDPOINT"]
