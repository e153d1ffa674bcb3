"""Ceph's S3 gateway through a script that runs one, and a bridge from its http endpoint to Kafka.

The script knows ``up --fresh``, ``down`` and ``env``; the last prints ``export`` lines with
``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``. Ceph posts the same JSON
to an http endpoint that it sends to Kafka, where its build has Kafka.
"""

from __future__ import annotations

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config
from confluent_kafka import Producer

from include.servers.embedded import object_store
from include.servers.processes import StartError

SECONDS = 30.0


class RadosGateway:
    """A running gateway; a context manager."""

    def __init__(self, script: Path, *, brokers: str, topic: str) -> None:
        self._script = script
        self._topic = topic
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        self._server: ThreadingHTTPServer | None = None
        self._env: dict[str, str] = {}

    def __enter__(self) -> Self:
        self._run("prepare")
        self._run("up", "--fresh")
        lines = re.findall(r"export (\w+)=['\"]?([^'\"\n]*)", self._run("env"))
        self._env = dict(lines)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._run("down")

    @property
    def s3(self) -> Any:
        """A boto3 client of it."""
        return object_store.client("s3", *self._login())

    def announce(self, bucket: str) -> None:
        """Let every upload to ``bucket``, and every removal, be announced."""
        assert self._server is not None
        endpoint, access, secret = self._login()
        topics = boto3.client(
            "sns",
            endpoint_url=endpoint,
            region_name="default",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            # Ceph takes no newer signature for the body of this request.
            config=Config(signature_version="s3"),
        )
        push = {"push-endpoint": f"http://127.0.0.1:{self._server.server_port}"}
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
        """Hand a notification on; Ceph is answered only once the broker has it."""
        self._producer.produce(self._topic, body)
        if self._producer.flush(SECONDS):
            raise StartError("Kafka does not take a notification.")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self._script), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise StartError(f"{self._script.name} {arguments[0]}: {done.stderr[-400:]}")
        return done.stdout
