"""DICOM: radiographs read as a viewer shows them, and results written as Secondary Captures.

pydicom's messages quote element values, which name patients. None of them is
logged or passed on, and no message of this package quotes a value that could
name a patient.
"""

from xray.image.dicom.deidentify import Retained, deidentified
from xray.image.dicom.read import read_image
from xray.image.dicom.write import with_pixels, write_deidentified, write_image

__all__ = [
    "Retained",
    "deidentified",
    "read_image",
    "with_pixels",
    "write_deidentified",
    "write_image",
]
