"""What the tests share: pictures, an S3 server, a case on it."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support import ROOT

# Before anything imports airflow: a home of the tests' own, not the user's.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="xray-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")
os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(ROOT / "plugins")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real",
        action="store_true",
        help="real servers in place of the embedded ones, and the tests that need them",
    )


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> bool:
    """Whether servers are real ones."""
    return bool(request.config.getoption("--real"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without --real, what only real servers can show is no part of the tests."""
    return True if collection_path.name == "real" and not config.getoption("--real") else None


@pytest.fixture(scope="session")
def demo_images() -> list[Path]:
    """The 16 synthetic X-rays."""
    return sorted((ROOT / "include" / "demo" / "images").rglob("*.jpeg"))


@pytest.fixture
def chest() -> Image.Image:
    """A grey picture with structure everywhere, 640 x 480."""
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 256, (12, 16), np.uint8).astype(np.uint8))
    return small.resize((640, 480), Image.Resampling.BICUBIC)


@pytest.fixture
def as_bytes() -> Callable[..., bytes]:
    """Encode a picture with Pillow, metadata and all."""

    def save(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
        stream = io.BytesIO()
        image.save(stream, form, **options)
        return stream.getvalue()

    return save


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A running S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str) -> Iterator[Any]:
    """A client of the S3 server, emptied, with a case's buckets."""
    import httpx

    from include.servers.embedded.object_store import client
    from xray.case import Buckets

    httpx.post(f"{s3_endpoint}/moto-api/reset").raise_for_status()
    s3 = client("s3", s3_endpoint)
    for bucket in ("xray-data-in", *Buckets("xray-data-in").outputs()):
        s3.create_bucket(Bucket=bucket)
    return s3


@pytest.fixture
def store(s3: Any) -> Any:
    """An ObjectStore on the server."""
    from xray.storage import ObjectStore

    return ObjectStore(s3)


FAULTS: list[tuple[str, int, int, int, float, str]] = []


@pytest.fixture
def record_fault() -> Callable[..., None]:
    """Note what a fault showed; the table stands at the end of the tests' output."""

    def note(
        fault: str, sent: int, runs: int, doubled: int, seconds: float, more: str = ""
    ) -> None:
        FAULTS.append((fault, sent, runs, doubled, seconds, more))

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of the faults, as the docs show it."""
    if FAULTS:
        terminalreporter.section("one run per notification")
        terminalreporter.line("| fault | messages | runs | doubled | seconds | |")
        terminalreporter.line("|---|---:|---:|---:|---:|---|")
        for fault, sent, runs, doubled, seconds, more in FAULTS:
            terminalreporter.line(
                f"| {fault} | {sent} | {runs} | {doubled} | {seconds:.0f} | {more} |"
            )
