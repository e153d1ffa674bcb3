"""xray.airflow.case.assets: what Airflow's graph shows, and which events are recorded"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.cases import KEY, case
from xray.airflow import config
from xray.airflow.case import assets
from xray.case import Buckets, Decision, Source
from xray.storage import ObjectStore

BUCKET = config.bucket()


@pytest.mark.parametrize(
    ("decision", "events"),
    [
        (Decision.PUBLISHED, []),
        (Decision.ANONYMIZED, [f"{BUCKET}-anonymized"]),
        (Decision.QUARANTINED, [f"{BUCKET}-quarantine"]),
        (Decision.SUPERSEDED, []),
        (Decision.DELETED, []),
        (None, []),
    ],
)
@pytest.mark.parametrize("bucket", [BUCKET, "another-bucket"])
def test_an_event_says_that_an_image_was_put_into_the_bucket(
    store: ObjectStore, decision: Decision | None, events: list[str], bucket: str
) -> None:
    work = case(store, Source(bucket=bucket, key=KEY, etag="e"))
    task = SimpleNamespace(outlets=[assets.PROCESSED, assets.ANONYMIZED, assets.QUARANTINE])
    assets.record_event({"task": task}, work, decision)
    recorded = [asset.name for asset in task.outlets]
    assert recorded == (events if bucket == BUCKET else []), "the assets are those of one bucket"


def test_an_asset_is_named_after_its_bucket_and_has_no_address() -> None:
    """A URI with the scheme s3 would load the provider in each task."""
    buckets = Buckets(BUCKET)
    expected = {
        assets.LANDING: buckets.landing,
        assets.PROCESSED: buckets.processed,
        assets.ANONYMIZED: buckets.anonymized,
        assets.QUARANTINE: buckets.quarantine,
        assets.AUDIT: buckets.audit,
    }
    for asset, name in expected.items():
        assert (asset.name, asset.uri, asset.group) == (name, name, "xray")
