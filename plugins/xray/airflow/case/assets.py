"""The buckets of the cases as Airflow's assets: its graph shows what the DAGs read and write.

An asset is named after its bucket, and nothing of it names an object. It has no URI of the scheme
``s3``: Airflow would import the whole provider in each task to check it.

Airflow records an event for each outlet of a task that succeeds, unless the task leaves it out.
Here, an event says that an image was put into the anonymised or the quarantine bucket: other DAGs
can be scheduled on these two assets. A plain case records none, because each event would take half
a percent of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import Asset

from xray.airflow import config
from xray.case import Buckets, Decision, Work

_GROUP = "xray"
_BUCKETS = Buckets(config.bucket())

LANDING = Asset(_BUCKETS.landing, group=_GROUP)
PROCESSED = Asset(_BUCKETS.processed, group=_GROUP)
ANONYMIZED = Asset(_BUCKETS.anonymized, group=_GROUP)
QUARANTINE = Asset(_BUCKETS.quarantine, group=_GROUP)
AUDIT = Asset(_BUCKETS.audit, group=_GROUP)

_WITH_EVENT = {Decision.ANONYMIZED: ANONYMIZED, Decision.QUARANTINED: QUARANTINE}


def record_event(context: Mapping[str, Any], work: Work, decision: Decision | None) -> None:
    """Let the task record the event of what it has written, and no other.

    Args:
        context: the context of the task, whose outlets are changed for the rest of the try.
        work: the case. One of another landing bucket than the deployment's records no event.
        decision: what became of the image; None if nothing was put into a bucket.
    """
    own = work.source.bucket == _BUCKETS.landing
    written = _WITH_EVENT.get(decision) if own and decision else None
    context["task"].outlets = [written] if written else []
