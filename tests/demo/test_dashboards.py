"""include.demo.dashboards: the files that are refused"""

from __future__ import annotations

from pathlib import Path

from include.demo.dashboards import ODD_FILES, odd_files
from xray.errors import ImageError
from xray.image import decode
from xray.risk import RiskModel


def test_the_odd_files_are_refused(demo_images: list[Path]) -> None:
    files = dict(odd_files(demo_images[0].read_bytes()))
    assert len(files) == ODD_FILES
    model, faults, reasons = RiskModel.load(), {}, {}
    for name, data in files.items():
        try:
            reasons[name] = model.predict(decode(data).eight_bit()).refused
        except ImageError as error:
            faults[name] = error.fault.value
    assert faults == {
        "notes.txt": "not_an_image",
        "empty.jpeg": "empty",
        "cut-off.jpeg": "damaged",
        "thumbnail.png": "too_small",
    }
    assert reasons["turned.png"] == "upside down"
    assert reasons["letter.png"]
