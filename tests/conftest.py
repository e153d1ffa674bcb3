"""Fixtures for all tests: images, an S3 server, a store, a broker."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from xdist.scheduler import LoadFileScheduling

from tests.support import ROOT
from tests.support.faults import FAULTS, Fault, table_lines

END_TO_END = ROOT / "tests" / "e2e"

# No example of a property test has a time limit, because the machine may be busy. The fixtures that
# such tests use change nothing.
settings.register_profile(
    "xray",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("xray")

# Set before anything imports airflow: the tests must not use the home of the user.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="xray-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(ROOT / "plugins")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real",
        action="store_true",
        help="use real servers instead of the embedded ones, and run the tests that need them",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the end-to-end tests, which take longest: the first of a file starts Airflow."""
    for item in items:
        if END_TO_END in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))
    items.sort(key=lambda item: END_TO_END not in item.path.parents)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesInOneProcess:
    """Distribute the tests over the processes of ``-n``."""
    return FilesInOneProcess(config, log)


class FilesInOneProcess(LoadFileScheduling):
    """Keeps the tests of a file in one process, and all end-to-end tests in one.

    An end-to-end test starts all of Airflow, and two of those do not fit on two cores.
    """

    def _split_scope(self, nodeid: str) -> str:
        end_to_end = str(END_TO_END.relative_to(ROOT))
        return end_to_end if nodeid.startswith(end_to_end) else super()._split_scope(nodeid)


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> bool:
    """Return whether the tests use real servers."""
    return bool(request.config.getoption("--real"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore tests/real unless --real is given."""
    return True if collection_path.name == "real" and not config.getoption("--real") else None


@pytest.fixture(scope="session")
def demo_images() -> list[Path]:
    """Return the paths of the 16 synthetic X-rays."""
    return sorted((ROOT / "include" / "demo" / "images").rglob("*.jpeg"))


@pytest.fixture
def chest() -> Image.Image:
    """Return a grey picture with structure everywhere, 640 x 480."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (12, 16), np.uint8).astype(np.uint8))
    return small.resize((640, 480), Image.Resampling.BICUBIC)


@pytest.fixture
def unredactable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redaction that leaves text on every image."""
    from xray import redaction

    done = redaction.redact

    def redact(image: Image.Image, *args: Any, **options: Any) -> Any:
        return dataclasses.replace(done(image), verified=False)

    monkeypatch.setattr(redaction, "redact", redact)


@pytest.fixture
def as_bytes() -> Callable[..., bytes]:
    """Return a function that encodes a picture with Pillow, with its metadata."""

    def save(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
        stream = io.BytesIO()
        image.save(stream, form, **options)
        return stream.getvalue()

    return save


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Start an S3 server, and return its URL."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str) -> Iterator[Any]:
    """Empty the S3 server, create the buckets of a case, and return a client."""
    import httpx

    from include.servers.embedded.object_store import client
    from xray.case import Buckets

    httpx.post(f"{s3_endpoint}/moto-api/reset").raise_for_status()
    s3 = client("s3", s3_endpoint)
    for bucket in ("xray-data-in", *Buckets("xray-data-in").outputs()):
        s3.create_bucket(Bucket=bucket)
    return s3


@pytest.fixture
def s3_connection(s3: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client of the S3 server, to which the Airflow connection ``xray_s3`` leads."""
    connection = {
        "conn_type": "aws",
        "login": "demo",
        "password": "demo-password",
        "extra": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_S3", json.dumps(connection))
    return s3


@pytest.fixture
def store(s3: Any) -> Any:
    """Return an ObjectStore on the server."""
    from xray.storage import ObjectStore

    return ObjectStore(s3)


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[str]:
    """The address of an embedded broker."""
    with subprocess.Popen(
        [sys.executable, "-m", "include.servers.embedded.broker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as broker:
        assert broker.stdout is not None
        assert broker.stdin is not None
        yield broker.stdout.readline().strip()
        broker.stdin.close()


@pytest.fixture(scope="session")
def brokers(
    real: bool, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a broker: Apache Kafka with --real, otherwise the embedded one."""
    if not real:
        yield request.getfixturevalue("embedded_broker")
        return
    from include.servers.real.kafka import Kafka

    with Kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka.brokers


@pytest.fixture
def record_fault() -> Callable[..., None]:
    """Record the result of a fault test, for the table at the end of the output."""
    return lambda *fields: FAULTS.append(Fault(*fields))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of the faults, as the documentation shows it."""
    if FAULTS:
        terminalreporter.section("one run per notification")
        for line in table_lines():
            terminalreporter.line(line)
