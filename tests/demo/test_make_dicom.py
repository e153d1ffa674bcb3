"""include.demo.make_dicom"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from include.demo import make_dicom
from xray.image import decode
from xray.risk import RiskModel

SAME_RISK = 0.01


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("dicom")
    make_dicom.main(folder)
    return sorted(folder.rglob("*.dcm"))


def test_eight_files_of_seven_patients(written: list[Path]) -> None:
    headers = [pydicom.dcmread(path) for path in written]
    assert len(headers) == len(make_dicom.WAYS)
    assert len({header.PatientID for header in headers}) == len(headers) - 1
    assert len({header.StudyInstanceUID for header in headers}) == len(headers)
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)


def test_each_way_shows_the_same_chest(demo_images: list[Path]) -> None:
    path = next(path for path in demo_images if "Dario" in path.name)
    pixels = np.asarray(decode(path.read_bytes()).pixels.convert("L"))
    model = RiskModel.load()
    right = model.score(Image.fromarray(pixels))
    for way in make_dicom.WAYS:
        header = way(pixels)
        header.SOPInstanceUID = "1.2.3"
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, header, enforce_file_format=True)
        picture = decode(stream.getvalue()).eight_bit()
        border = 20 if way is make_dicom.padded else 0
        inner = picture.crop((border, border, picture.width - border, picture.height - border))
        assert inner.size == pixels.shape[::-1]
        assert abs(model.score(inner) - right) < SAME_RISK, way
