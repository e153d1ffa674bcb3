"""An S3 server whose bucket notifications reach Kafka: moto, and a bridge.

Moto announces uploads to a queue of its own; the bridge hands each message on
as it is, and takes it from the queue once the broker has confirmed it.

``python -m include.servers.embedded.object_store BROKERS TOPIC`` prints the server's
address, then serves until its standard input closes.
"""

from __future__ import annotations

import logging
import sys
import threading
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from confluent_kafka import Producer

ACCOUNT = "123456789012"
"""The account that moto plays."""
REGION = "us-east-1"


def main(brokers: str, topic: str) -> None:
    """Serve."""
    # Here, as who only asks for a client may not have it.
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
    """A boto3 client; the embedded server takes any credentials."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(retries={"max_attempts": 5}, s3={"addressing_style": "path"}),
    )


def announce(s3: Any, bucket: str, topic: str) -> None:
    """Let every upload to ``bucket`` be announced."""
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
    """From the queue to the topic, for ever."""
    sqs = client("sqs", endpoint)
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    while True:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", ()):
            taken = partial(_confirmed, sqs, queue, message["ReceiptHandle"])
            producer.produce(topic, message["Body"].encode(), on_delivery=taken)
        producer.flush()


def _confirmed(sqs: Any, queue: str, receipt: str, error: Any, _: Any) -> None:
    """Take a message from the queue; one that the broker did not get comes again by itself."""
    if error is None:
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=receipt)


if __name__ == "__main__":
    main(*sys.argv[1:])
