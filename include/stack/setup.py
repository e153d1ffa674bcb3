"""Create what the pipeline needs: the account, the buckets, the topics and the notifications.

``python -m include.stack.setup`` creates what is missing and keeps what exists, so it can run at
every start. If a server is not ready, it ends with an error, and Docker starts it again.
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

from include.demo.verification import BUCKET
from include.stack import store
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC
from xray.case import Buckets

ACCOUNT = "xray"
SECONDS = 30.0
_DAY = 24 * 3600 * 1000
TOPICS = {
    TOPIC: (3, {"retention.ms": str(7 * _DAY)}),
    # A dead letter is larger than its message, and is kept until the cause has been fixed.
    DEAD_LETTER_TOPIC: (1, {"retention.ms": str(365 * _DAY), "max.message.bytes": "2097152"}),
}
"""The number of partitions and the configuration of each topic."""


def main() -> None:
    """Create everything that is missing."""
    create_account()
    s3 = store.client()
    for bucket in (BUCKET, *Buckets(BUCKET).outputs()):
        create_bucket_if_missing(s3, bucket)
    create_topics(os.environ["KAFKA_BROKERS"])
    configure_notifications(s3, os.environ["PUSH_ENDPOINT"])


def create_account() -> None:
    """Create the pipeline's account at the gateway: it owns the buckets and has no admin rights.

    Raises:
        SystemExit: the gateway refused; the message says what to do.
    """
    keys = {"access-key": os.environ["S3_ACCESS_KEY"], "secret-key": os.environ["S3_SECRET_KEY"]}
    account = {"uid": ACCOUNT, "display-name": ACCOUNT, "key-type": "s3", **keys}
    answer = _administer("PUT", account)
    if answer.status_code == httpx.codes.CONFLICT:
        # The account exists; its keys may differ from those of a new .env.
        answer = _administer("POST", {"uid": ACCOUNT, "key-type": "s3", **keys})
    if answer.is_error:
        raise SystemExit(
            f"The gateway refused to create the account {ACCOUNT}: {answer.status_code} "
            f"{answer.text[:200]}. If .env is newer than the gateway's volume, restore the old "
            ".env, or delete all volumes with docker compose down -v."
        )
    print(f"account {ACCOUNT}", flush=True)


def _administer(method: str, query: dict[str, str]) -> httpx.Response:
    """Send a request to the gateway's admin API, signed with the administrator's key."""
    login = (os.environ["CEPH_ADMIN_ACCESS_KEY"], os.environ["CEPH_ADMIN_SECRET_KEY"])
    request = AWSRequest(method, f"{store.endpoint()}/admin/user", params=query)
    S3SigV4Auth(Credentials(*login), "s3", store.REGION).add_auth(request)
    prepared = request.prepare()
    return httpx.request(method, prepared.url, headers=dict(prepared.headers), timeout=SECONDS)


def create_bucket_if_missing(s3: Any, name: str) -> None:
    """Create a bucket of the pipeline's account, unless it exists."""
    try:
        s3.create_bucket(Bucket=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    print(f"bucket {name}", flush=True)


def create_topics(brokers: str) -> None:
    """Create the topics of the notifications and of the dead letters, unless they exist."""
    admin = AdminClient({"bootstrap.servers": brokers})
    wanted = [NewTopic(name, parts, 1, config=config) for name, (parts, config) in TOPICS.items()]
    for name, future in admin.create_topics(wanted, request_timeout=SECONDS).items():
        try:
            future.result(SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        print(f"topic {name}", flush=True)


def configure_notifications(s3: Any, push_endpoint: str) -> None:
    """Configure a notification of every upload; the gateway keeps it until Kafka has it."""
    # For requests with a body, this API of Ceph accepts only the older signature.
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
