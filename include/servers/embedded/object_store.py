"""An S3 server whose bucket notifications reach Kafka: moto, and a bridge.

Moto sends its notifications to a queue of its own. The bridge passes each message on to Kafka
unchanged, and deletes it from the queue once the broker has confirmed it.

``python -m include.servers.embedded.object_store BROKERS TOPIC`` prints the server's address, then
serves until its standard input closes.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import boto3
from botocore.config import Config
from confluent_kafka import Producer

from include.servers.base import EmbeddedServer

ACCOUNT = "123456789012"
"""The AWS account that moto simulates."""
REGION = "us-east-1"


class EmbeddedStore(EmbeddedServer):
    """The object store in a child process, which sends its notifications to ``topic``."""

    name: ClassVar[str] = "object_store"

    def __init__(self, brokers: str, topic: str, *, env: Mapping[str, str], log: Path) -> None:
        super().__init__(env=env, log=log)
        self._arguments = [brokers, topic]

    def command(self) -> list[str]:
        """Return the command that runs this module."""
        return [sys.executable, "-m", "include.servers.embedded.object_store", *self._arguments]


def main(brokers: str, topic: str) -> None:
    """Serve until the standard input closes."""
    # Imported here: the deployed image uses client() and has no moto.
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    queue = client("sqs", endpoint).create_queue(QueueName=topic)["QueueUrl"]
    threading.Thread(target=bridge, args=(endpoint, queue, brokers, topic), daemon=True).start()
    print(endpoint, flush=True)
    sys.stdin.read()
    server.stop()


def client(service: str, endpoint: str, access: str = "demo", secret: str = "demo") -> Any:  # noqa: S107
    """Return a boto3 client; the embedded server accepts any credentials."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 5}, s3={"addressing_style": "path"}),
    )


def configure_notifications(s3: Any, bucket: str, topic: str) -> None:
    """Configure ``bucket`` to send a notification of every upload."""
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={
            "QueueConfigurations": [
                {
                    "Id": topic,
                    "QueueArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{topic}",
                    "Events": ["s3:ObjectCreated:*"],
                }
            ]
        },
    )


def bridge(endpoint: str, queue: str, brokers: str, topic: str) -> None:
    """Pass the messages of the queue on to the topic; never returns."""
    sqs = client("sqs", endpoint)
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    while True:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", ()):
            delivered = partial(_delete_if_delivered, sqs, queue, message["ReceiptHandle"])
            producer.produce(topic, message["Body"].encode(), on_delivery=delivered)
        producer.flush()


def _delete_if_delivered(sqs: Any, queue: str, receipt: str, error: Any, _: Any) -> None:
    """Delete a delivered message; one that failed becomes visible in the queue again."""
    if error is None:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipt)


if __name__ == "__main__":
    main(*sys.argv[1:])
