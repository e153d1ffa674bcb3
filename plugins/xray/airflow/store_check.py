"""Saying what the object store lacks, before a case depends on it."""

from __future__ import annotations

import contextvars
import logging
import threading

from xray.airflow import connections
from xray.case import Buckets
from xray.errors import XrayError

log = logging.getLogger(__name__)


def check(bucket: str) -> dict[str, dict[str, bool | None]] | None:
    """Try which conditional requests the store honours, and log what it lacks.

    A failure of the store is logged and not raised.

    Args:
        bucket: the bucket that images land in. Its buckets of manifests and audit records are
            tried.

    Returns:
        For each of the two buckets, the conditions and whether it honours them (None for an audit
        bucket without a record); None if they could not be tried.
    """
    try:
        return _check(Buckets(bucket))
    except XrayError as error:
        reason = str(error)
    except Exception as error:
        reason = f"Unexpected {type(error).__name__}."
    log.warning("Which conditional requests the store honours could not be tried. %s", reason)
    return None


def start(bucket: str) -> None:
    """Run :func:`check` in a thread of its own, which holds up nothing and keeps no process."""
    run = contextvars.copy_context().run  # The log of the task is in the context.
    threading.Thread(target=run, args=(check, bucket), name="xray-store-check", daemon=True).start()


def _check(buckets: Buckets) -> dict[str, dict[str, bool | None]]:
    from xray import conditions

    store = connections.object_store()
    manifests = conditions.probe(store, buckets.manifests)
    once = conditions.creates_once(store, buckets.audit)
    lacking = conditions.sentences(manifests, buckets.manifests)
    lacking += conditions.audit_sentences(once, buckets.audit)
    for sentence in lacking:
        log.warning("%s", sentence)
    if not lacking:
        log.info("The store honours all conditional requests that cases rely on.")
    return {buckets.manifests: {**manifests.to_json()}, buckets.audit: {"create_once": once}}
