"""The addresses of the pictures that :mod:`xray.web` serves, for the forms that show them."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.configuration import conf

PLUGIN_PREFIX = "/xray"
"""Where Airflow mounts the plugin's app."""
PREVIEW = "/preview/{bucket}/{case_id}"
"""The annotated image of a case that waits for a review."""
QUARANTINE = "/quarantine/{bucket}/{case_id}"
"""The quarantined image of a case."""


def picture_address(path: str, bucket: str, case_id: str) -> str:
    """Return the address of a case's picture, without scheme and host.

    Args:
        path: the route: :data:`PREVIEW` or :data:`QUARANTINE`.
        bucket: the bucket in which the image landed.
        case_id: the case.
    """
    base = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return f"{base}{PLUGIN_PREFIX}{path.format(bucket=bucket, case_id=case_id)}"
