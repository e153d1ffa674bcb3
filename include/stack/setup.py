"""What the pipeline needs before the first image: account, buckets, topics, notification.

``python -m include.stack.setup`` makes what is missing and leaves what is there, so it can run at
every start. It ends with an error, and is started again, if one of the servers is not ready.
"""

from __future__ import annotations

import os
from typing import Any

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from include.demo.judge import BUCKET
from include.stack import store
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC
from xray.case import Buckets

ACCOUNT = "xray"
SECONDS = 30.0
_DAY = 24 * 3600 * 1000
TOPICS = {
    TOPIC: (3, {"retention.ms": str(7 * _DAY)}),
    # A letter is its message and the reason; it waits until somebody has mended what was wrong.
    DEAD_LETTER_TOPIC: (1, {"retention.ms": str(365 * _DAY), "max.message.bytes": "2097152"}),
}
"""Partitions and configuration of each topic."""


def main() -> None:
    """Make what is missing."""
    make_account()
    s3 = store.client()
    for bucket in (BUCKET, *Buckets(BUCKET).outputs()):
        make_bucket(s3, bucket)
    make_topics(os.environ["KAFKA_BROKERS"])
    announce(s3, os.environ["PUSH_ENDPOINT"])


def make_account() -> None:
    """The pipeline's own account at the gateway: it owns its buckets, and administers nothing."""
    keys = {"access-key": os.environ["S3_ACCESS_KEY"], "secret-key": os.environ["S3_SECRET_KEY"]}
    account = {"uid": ACCOUNT, "display-name": ACCOUNT, "key-type": "s3", **keys}
    answer = _administer("PUT", account)
    if answer.status_code == httpx.codes.CONFLICT:
        # It is there; its keys may be others than those of a new .env.
        answer = _administer("POST", {"uid": ACCOUNT, "key-type": "s3", **keys})
    if answer.is_error:
        raise SystemExit(
            f"The gateway refused to make the account {ACCOUNT}: {answer.status_code} "
            f"{answer.text[:200]}. If .env was made anew since the gateway's volume was, put the "
            "old one back, or begin again with docker compose down -v."
        )
    print(f"account {ACCOUNT}", flush=True)


def _administer(method: str, query: dict[str, str]) -> httpx.Response:
    """A request to the gateway's admin API, signed by its administrator."""
    login = (os.environ["CEPH_ADMIN_ACCESS_KEY"], os.environ["CEPH_ADMIN_SECRET_KEY"])
    request = AWSRequest(method, f"{store.endpoint()}/admin/user", params=query)
    S3SigV4Auth(Credentials(*login), "s3", store.REGION).add_auth(request)
    prepared = request.prepare()
    return httpx.request(method, prepared.url, headers=dict(prepared.headers), timeout=SECONDS)


def make_bucket(s3: Any, name: str) -> None:
    """A bucket of the pipeline's account."""
    try:
        s3.create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    print(f"bucket {name}", flush=True)


def make_topics(brokers: str) -> None:
    """The topics of notifications and of dead letters."""
    admin = AdminClient({"bootstrap.servers": brokers})
    wanted = [NewTopic(name, parts, 1, config=config) for name, (parts, config) in TOPICS.items()]
    for name, future in admin.create_topics(wanted, request_timeout=SECONDS).items():
        try:
            future.result(SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        print(f"topic {name}", flush=True)


def announce(s3: Any, push_endpoint: str) -> None:
    """Let every upload be announced; the gateway keeps what Kafka does not take at once."""
    # Ceph takes no newer signature for the body of this request.
    topics = store.client("sns", signature_version="s3")
    push = {"push-endpoint": push_endpoint, "persistent": "true"}
    if push_endpoint.startswith("kafka:"):
        push["kafka-ack-level"] = "broker"
    arn = topics.create_topic(Name=TOPIC, Attributes=push)["TopicArn"]
    events = [{"Id": TOPIC, "TopicArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"TopicConfigurations": events}
    )
    print(f"notifications of {BUCKET} to {push_endpoint}", flush=True)


if __name__ == "__main__":
    main()
