"""DICOM: radiographs read as a viewer shows them, and results written as Secondary Captures.

pydicom's messages quote element values, which name patients. None of them is
logged or passed on, and no message of this package quotes a value that could
name a patient.

The module :mod:`~xray.image.dicom.report` is imported by itself: it needs highdicom.
"""

from xray.image.dicom.deidentify import Retained, deidentified
from xray.image.dicom.read import read_image
from xray.image.dicom.write import with_pixels, write_deidentified, write_image

__all__ = [
    "Retained",
    "deidentified",
    "read_image",
    "report",  # noqa: F822 - a module, which is not imported here
    "with_pixels",
    "write_deidentified",
    "write_image",
]
