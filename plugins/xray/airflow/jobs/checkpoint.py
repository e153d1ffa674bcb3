"""Write a checkpoint of the audit trail.

The trail is verified at the same time, against the newest checkpoint that is in the bucket already.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from airflow.sdk import get_current_context, task

from xray import audit
from xray.airflow import config, connections
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.unexpected import without_messages
from xray.case import Buckets
from xray.errors import ObjectError
from xray.storage import ObjectStore

log = logging.getLogger(__name__)


def checkpoint(bucket: str, store: ObjectStore, secrets: Sequence[str]) -> dict[str, Any]:
    """Write a checkpoint into the audit bucket; return its name, its counts and its root.

    Args:
        bucket: the bucket in which the images landed.
        store: the object store.
        secrets: the deployment's secrets, newest first.

    Raises:
        ObjectError: the audit trail has problems. The checkpoint is written nevertheless.
        TransientError: the store cannot answer now.
    """
    trail = Buckets(bucket).audit
    earlier = _newest(trail, store)
    data = audit.make_checkpoint(audit.objects(store, trail), secrets, earlier)
    made = audit.read_checkpoint(data, secrets)
    name = audit.checkpoint_name(datetime.fromisoformat(made.made_at))
    store.put(trail, name, data, content_type="application/json", once=True)
    result = {
        "checkpoint": name,
        "records": made.records,
        "cases": len(made.trails),
        "problems": made.problems,
        "root": made.root,
    }
    log.info("%s", result)
    if made.problems:
        # The name of a stray file may be anything, so no name is in the message.
        raise ObjectError(
            f"The audit trail in {trail} has problems ({made.problems}): list them with python -m "
            f"xray.audit verify s3://{trail}, with the secret and the checkpoint before {name}."
        )
    return result


def _newest(trail: str, store: ObjectStore) -> bytes | None:
    """Return the newest checkpoint in the audit bucket; None if there is none."""
    listed = [entry.key for entry in store.list(trail, audit.CHECKPOINTS)]
    names = [name for name in listed if audit.is_checkpoint_name(name)]
    return store.get(trail, max(names)).data if names else None


@task
@without_messages()
@tells_if_blocked()
def write_checkpoint() -> dict[str, Any]:
    """Write a checkpoint of the audit trail; return its name, its counts and its root."""
    params = get_current_context()["params"]
    return checkpoint(params["bucket"], connections.object_store(), config.keyring().secrets)
