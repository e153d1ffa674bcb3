"""The stack's object store, as its programs are told of it by their environment."""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.config import Config

REGION = "us-east-1"
"""Ceph takes any; with this one a bucket is made without saying where."""


def client(service: str = "s3", **options: Any) -> Any:
    """A boto3 client with the pipeline's account."""
    # The gateway may start anew at any time: a request is tried again for about half a minute.
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
    """The gateway's address."""
    return os.environ["S3_ENDPOINT"]
