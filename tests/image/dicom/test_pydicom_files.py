"""Every image in pydicom's wheel is shown as pydicom shows it, or refused with the reason."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom import uid
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

from xray.errors import ImageError, ImageFault
from xray.image import Limits, decode

FOLDER = Path(pydicom.data.__file__).parent / "test_files"
LIMITS = Limits(min_side=1, max_frames=1000)
REFUSED = (
    "bits per pixel; at most 16 are read",
    "stored as Deflated Explicit VR Little Endian",
)
"""The reasons for which an image that pydicom shows may be refused."""
ONLY_HERE = {"JPEG-lossy.dcm", "JPGExtended.dcm"}
"""Images that pydicom does not decode: JPEG Extended with 12 bits."""
OUTLIERS = {"JPEGLSNearLossless_16.dcm"}
"""Images of which this project clips outliers, so that they look otherwise."""


def _images() -> list[Path]:
    """Return the files with an image that can be written again as a Secondary Capture."""
    found = []
    for path in sorted(FOLDER.rglob("*")):
        if path.is_dir() or path.suffix in (".py", ".json", ".txt"):
            continue
        source = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        if "Rows" in source and "TransferSyntaxUID" in source.get("file_meta", {}):
            found.append(path)
    return found


def _as_radiograph(path: Path) -> bytes:
    """Return the file with the class of a Secondary Capture in place of its own."""
    source = pydicom.dcmread(path)
    source.SOPClassUID = uid.SecondaryCaptureImageStorage
    source.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        if keyword in source:  # pydicom does not make pixels square
            delattr(source, keyword)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, source)
    return stream.getvalue()


def _shown_by_pydicom(data: bytes) -> Any:
    """Return the first frame as pydicom shows it; None if pydicom cannot decode it."""
    source = pydicom.dcmread(io.BytesIO(data))
    try:
        values = source.pixel_array
    except Exception:
        return None
    if int(source.get("NumberOfFrames") or 1) > 1:
        values = values[0]
    if source.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, source)[..., :3]
    if values.ndim == 3:
        return values >> (8 if values.dtype == np.uint16 else 0)
    grey = apply_voi_lut(apply_modality_lut(values, source), source).astype(float)
    return -grey if source.PhotometricInterpretation == "MONOCHROME1" else grey


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", _images(), ids=lambda path: path.name)
def test_an_image_looks_as_pydicom_shows_it(path: Path) -> None:
    try:
        data = _as_radiograph(path)
    except Exception as error:
        pytest.skip(f"pydicom cannot write the file again: {type(error).__name__}")
    expected = _shown_by_pydicom(data)
    try:
        picture = decode(data, limits=LIMITS)
    except ImageError as error:
        reasons = [reason for reason in REFUSED if reason in str(error)]
        assert expected is None or reasons, error
        assert not reasons or error.fault is ImageFault.UNSUPPORTED
        return
    if expected is None:
        assert path.name in ONLY_HERE
        return
    seen = np.asarray(picture.pixels).astype(float)
    if expected.ndim == 3:
        assert np.abs(seen - expected).max() <= 2
    elif not expected.std():
        assert not seen.std()
    elif path.name not in OUTLIERS:
        assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.999
