"""deploy/orthanc: a real Orthanc copies the chest X-rays that arrive to the landing bucket"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from include.servers.processes import wait_until
from include.servers.real import orthanc
from include.servers.real.orthanc import Orthanc
from tests.support import ROOT
from tests.support.cases import BUCKET, objects
from tests.support.dicom_files import dicom
from tests.support.programs import need_orthanc

SCRIPT = ROOT / "deploy" / "orthanc" / "to_bucket.py"


@pytest.fixture
def hospital(
    real: bool, s3: Any, s3_endpoint: str, tmp_path: Path
) -> Iterator[Callable[..., Orthanc]]:
    """Start an Orthanc that copies to the bucket; the endpoint can be another one."""
    need_orthanc(real)
    home, started = tmp_path / "orthanc", list[Orthanc]()

    def start(endpoint: str = s3_endpoint) -> Orthanc:
        for earlier in started:
            earlier.close()
        server = Orthanc(
            home,
            config={"PythonScript": str(SCRIPT), "PythonVerbose": False},
            plugins=(orthanc.PYTHON,),
            env={
                **os.environ,
                # boto3 for Debian's Python.
                "PYTHONPATH": sysconfig.get_path("purelib"),
                "XRAY_BUCKET": BUCKET,
                "XRAY_S3_ENDPOINT": endpoint,
                "AWS_ACCESS_KEY_ID": "demo",
                "AWS_SECRET_ACCESS_KEY": "demo-password",
                "AWS_MAX_ATTEMPTS": "1",
            },
        )
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


def instance(number: int, **elements: Any) -> bytes:
    """An X-ray; each number is another one."""
    pixels = np.full((64, 64), number, np.uint8)
    return dicom(pixels, SOPInstanceUID=f"1.2.3.{number}", **elements)


def wait_for(s3: Any, expected: set[bytes]) -> None:
    """Wait until exactly these images are in the bucket."""

    def there() -> bool:
        return {data for data, *_ in objects(s3, BUCKET).values()} == expected

    wait_until(there, "the images in the bucket", seconds=60)


def test_chest_x_rays_are_copied_and_results_are_not(
    s3: Any, hospital: Callable[..., Orthanc]
) -> None:
    server = hospital()
    digital, computed = instance(1), instance(2, SOPClassUID=uid.ComputedRadiographyImageStorage)
    for data in (digital, instance(3, SOPClassUID=uid.SecondaryCaptureImageStorage), computed):
        server.upload(data)
    wait_for(s3, {digital, computed})
    for key in objects(s3, BUCKET):
        assert key.startswith("orthanc/")
        assert key.endswith(".dcm")


def test_nothing_is_missed_while_the_store_or_orthanc_is_away(
    s3: Any, hospital: Callable[..., Orthanc]
) -> None:
    server = hospital(endpoint="http://127.0.0.1:1")
    first = instance(1)
    server.upload(first)
    deleted = server.upload(instance(2))
    wait_until(lambda: "takes no images now" in server.log.read_text(), "the refusal", seconds=60)
    server.delete(deleted)
    server = hospital()
    later = instance(3)
    server.upload(later)
    wait_for(s3, {first, later})
