"""Ask again for the decisions that cases wait for, and close the forms that nothing waits for.

The bucket of the manifests is the queue of what waits, and not Airflow's database:
a form that was deleted there, such as by ``airflow db clean``, is opened again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from airflow.sdk import get_current_context, task

from xray.airflow import api, config, connections
from xray.airflow.api import ACTIVE_STATES, RunsClient
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.forms import DAGS, WITHDRAWN, open_forms
from xray.airflow.unexpected import without_messages
from xray.case import Buckets
from xray.case.manifest import Request
from xray.case.requests import read_marker, waits
from xray.errors import NotFoundError
from xray.pseudonym import Keyring
from xray.storage import ObjectStore


async def ask(
    bucket: str, store: ObjectStore, client: RunsClient, keyring: Keyring
) -> Counter[str]:
    """Open the forms of waiting cases, and close those of cases that wait no longer.

    Args:
        bucket: the bucket in which the images landed.
        store: holds the manifests.
        client: knows the forms.
        keyring: the deployment's secrets.

    Returns:
        How many cases wait, how many forms were opened and closed, and how many markers were out
        of date.
    """
    buckets, counts = Buckets(bucket), Counter[str](closed=0)
    for kind, dag_id in DAGS.items():
        for run_id in await client.run_ids(dag_id, state=ACTIVE_STATES):
            conf = await client.conf(dag_id, run_id) or {}
            # A form of version 0.1.0 has no request.
            if conf.get("bucket") == bucket and conf.get("request"):
                request = Request.from_json(conf["request"])
                if not await asyncio.to_thread(_waits, store, buckets, request):
                    counts["closed"] += await _close(client, dag_id, run_id)
        counts.update(await open_forms(client, store, buckets, kind, keyring, again=True))
    return counts


def _waits(store: ObjectStore, buckets: Buckets, request: Request) -> bool:
    """Return whether a case waits with a request."""
    try:
        return waits(store, buckets, read_marker(store, buckets, request.marker))
    except NotFoundError:
        return False


async def _close(client: RunsClient, dag_id: str, run_id: str) -> bool:
    """Close a form, unless its answer is being carried out."""
    return await client.awaits_input(dag_id, run_id) and await client.close(
        dag_id, run_id, WITHDRAWN
    )


@task
@without_messages()
@tells_if_blocked()
def ask_again() -> dict[str, Any]:
    """Open and close forms as the manifests say; return the counts."""
    params = get_current_context()["params"]

    store, keyring = connections.object_store(), config.keyring()
    return dict(api.call(lambda client: ask(params["bucket"], store, client, keyring)))
