"""DICOM: a radiograph's pixels as a viewer shows them, and a result that names its study."""

from xray.image.dicom.header import read, write

__all__ = [
    "read",
    "write",
]
