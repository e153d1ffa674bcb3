"""Bucket notifications in the dialects of several gateways."""

from __future__ import annotations

import json
from typing import Any

KEY = "dir a/fïle +1 & 日本 100%25.jpeg"
"""An object key with everything that an encoding can corrupt."""
ENCODED = "dir+a%2Ff%C3%AFle+%2B1+%26+%E6%97%A5%E6%9C%AC+100%2525.jpeg"


def item(key: str = KEY, source: str = "ceph:s3", event: str = "ObjectCreated:Put") -> Any:
    """One raw record."""
    return {
        "eventVersion": "2.2",
        "eventSource": source,
        "eventTime": "2026-11-24T03:08:56.897902Z",
        "eventName": event,
        "s3": {
            "bucket": {"name": "xray-data-in"},
            "object": {
                "key": key,
                "size": 8,
                "eTag": "e5ebd4c02cefbe7955977c67ada242b7",
                "versionId": "",
                "sequencer": "C8FF046B6C5AB135",
            },
        },
    }


def message(*items: Any) -> bytes:
    """A message with these raw records."""
    return json.dumps({"Records": list(items)}).encode()


DIALECTS = {
    "ceph": message(item()),
    "aws": message(item(ENCODED, "aws:s3")),
    "minio": json.dumps(
        {
            "EventName": "s3:ObjectCreated:Put",
            "Key": "xray-data-in/x",
            "Records": [item(ENCODED, "minio:s3", "s3:ObjectCreated:Put")],
        }
    ).encode(),
    "versitygw": json.dumps([item(KEY, "aws:s3")]).encode(),
    # Since version 1.8: in an object, as AWS sends it.
    "versitygw 1.8": message(item(KEY, "aws:s3") | {"userIdentity": {"PrincipalId": "xray"}}),
}
"""The same record in each dialect."""
