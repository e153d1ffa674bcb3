"""A stock way: an asset that Kafka messages update, and a DAG that is scheduled on it."""

from airflow.providers.apache.kafka.triggers.shared_stream import KafkaSharedStreamTrigger
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, AssetWatcher, dag

TRIGGER = KafkaSharedStreamTrigger(
    topics=["bench_asset_watcher"],
    kafka_config_id="bench_asset_watcher",
    # All triggers of this kind share one thread, so a long poll would delay the commits.
    poll_timeout=0.1,
)
IMAGES = Asset("bench_images", watchers=[AssetWatcher(name="notifications", trigger=TRIGGER)])


@dag(schedule=[IMAGES], max_active_runs=100)
def bench_asset_watcher_case() -> None:
    """Run once for each message."""
    EmptyOperator(task_id="look")


bench_asset_watcher_case()
