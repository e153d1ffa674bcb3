"""Ceph's S3 gateway, run by a script, and a bridge from its HTTP notifications to Kafka.

The script takes the commands ``prepare``, ``up --fresh``, ``down`` and ``env``. The last one prints
``export`` lines with ``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``. Not
every build of Ceph can send notifications to Kafka; all can post the same JSON to an HTTP endpoint.
"""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from confluent_kafka import Producer

from include.servers.base import Server
from include.servers.embedded import object_store
from include.servers.processes import StartError, run_program

SECONDS = 30.0


class RadosGateway(Server):
    """A gateway whose notifications arrive at a Kafka topic."""

    def __init__(self, script: Path, *, brokers: str, topic: str) -> None:
        self._script = script
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        self._bridge: ThreadingHTTPServer | None = None
        self._env: dict[str, str] = {}

    def start(self) -> None:
        """Start the gateway by the script, and the bridge."""
        self._run("prepare")
        self._run("up", "--fresh")
        lines = re.findall(r"export (\w+)=['\"]?([^'\"\n]*)", self._run("env"))
        self._env = dict(lines)
        self._bridge = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._bridge.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop the bridge and the gateway."""
        if self._bridge:
            self._bridge.shutdown()
            self._bridge.server_close()
        self._run("down")

    @property
    def s3(self) -> Any:
        """A boto3 client of the gateway."""
        return object_store.client("s3", *self._login())

    def configure_notifications(self, bucket: str) -> None:
        """Configure ``bucket`` to send a notification of every upload and every removal."""
        assert self._bridge is not None
        endpoint, access, secret = self._login()
        topics = boto3.client(
            "sns",
            endpoint_url=endpoint,
            region_name="default",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            # For requests with a body, this API of Ceph accepts only the older signature.
            config=Config(signature_version="s3"),
        )
        push = {"push-endpoint": f"http://127.0.0.1:{self._bridge.server_port}"}
        arn = topics.create_topic(Name=self._topic, Attributes=push)["TopicArn"]
        events = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
        topic = {"Id": "xray", "TopicArn": arn, "Events": events}
        self.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"TopicConfigurations": [topic]}
        )

    def _login(self) -> tuple[str, str, str]:
        env = self._env
        return env["AWS_ENDPOINT_URL"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                gateway._forward(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _forward(self, body: bytes) -> None:
        """Send a notification to Kafka; Ceph gets its answer only after the broker confirmed it."""
        self._producer.produce(self._topic, body)
        if self._producer.flush(SECONDS):
            raise StartError(f"Kafka did not confirm a notification within {SECONDS:.0f} s.")

    def _run(self, *arguments: str) -> str:
        command = [str(self._script), *arguments]
        return run_program(command, f"{self._script.name} {arguments[0]} failed")
