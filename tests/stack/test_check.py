"""include/stack/check.py: the check of all cases, with a new Airflow"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from include.demo.verification import BUCKET
from include.stack import check
from tests.support import KEYRING
from xray.airflow.config import CASE_DAG
from xray.case import Source

TIMES = 3
"""The number of requests until Airflow knows the DAG."""


class NewAirflow(BaseHTTPRequestHandler):
    """An API server whose DAG processor has not read the DAGs yet."""

    asked: list[str]
    runs: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, {"access_token": "token"})

    def do_GET(self) -> None:
        if f"/dags/{CASE_DAG}" in self.path:
            self.asked.append(self.path)
            known = len(self.asked) > TIMES
            tasks = "/taskInstances" in self.path
            rows = {"task_instances": []} if tasks else {"dag_runs": self.runs}
            self.answer(200 if known else 404, {**rows, "total_entries": len(*rows.values())})
        else:
            self.answer(404 if "/variables/" in self.path else 200, {})

    def answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def airflow(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[NewAirflow]]:
    handler = type("Handler", (NewAirflow,), {"asked": [], "runs": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "S3_ENDPOINT": s3_endpoint,
        "S3_ACCESS_KEY": "key",
        "S3_SECRET_KEY": "secret",
        "AIRFLOW_URL": f"http://127.0.0.1:{server.server_port}",
        "AIRFLOW_ADMIN_PASSWORD": "password",
        "XRAY_PSEUDONYM_SECRET": KEYRING.secrets[0],
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("s3")
def test_it_waits_until_airflow_knows_the_dag(
    airflow: type[NewAirflow], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main() == 1, "there are no cases"
    assert "0 of 0 cases came out right" in capsys.readouterr().out
    assert len(airflow.asked) > TIMES


def run(number: int, key: str) -> dict[str, Any]:
    """Return a failed run for an object."""
    conf = Source(bucket=BUCKET, key=key).to_conf(KEYRING)
    end = "2026-01-01T00:00:00Z"
    return {"dag_run_id": f"xray__{number}", "state": "failed", "end_date": end, "conf": conf}


@pytest.mark.usefixtures("s3")
def test_a_run_whose_object_was_removed_is_no_problem(
    airflow: type[NewAirflow], capsys: pytest.CaptureFixture[str]
) -> None:
    airflow.runs = [run(1, "removed.png")]
    check.main()
    assert "0 of 0 cases came out right: 0 runs" in capsys.readouterr().out


def test_a_second_run_for_an_object_is_a_problem(
    s3: Any, airflow: type[NewAirflow], capsys: pytest.CaptureFixture[str]
) -> None:
    s3.put_object(Bucket=BUCKET, Key="kept.png", Body=b"no image")
    airflow.runs = [run(1, "kept.png"), run(2, "kept.png"), run(3, "removed.png")]
    assert check.main() == 1
    assert "There are 2 runs, and 1 objects." in capsys.readouterr().out
