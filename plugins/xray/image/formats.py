"""Decode and encode images: bytes to a picture and back, within limits.

The content decides the format, never the file name. Only the decoders of JPEG,
PNG, TIFF and DICOM see the bytes, and the size is checked before any pixel is
decoded. Each format is one :class:`FormatHandler`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from xray.errors import ImageError, ImageFault
from xray.image import raster
from xray.image.picture import Format, Limits, Picture

_FIRST_ELEMENT = re.compile(
    # The length of group 2; or one of the first elements of group 8, with its VR or a small length.
    rb"\x02\0\0\0UL\x04\0|\x08\0[\0\x01\x05\x08\x12\x13\x16\x18]\0(?:UL|CS|DA|TM|UI|.\0\0\0)",
    re.DOTALL,
)
"""The first bytes of a DICOM file without a preamble, in little endian."""


class FormatHandler(Protocol):
    """One format: how it is recognised, read, written and made anonymous."""

    @property
    def form(self) -> Format:
        """The format."""

    @property
    def anonymous_form(self) -> Format:
        """The format in which a picture of this one is written when it must name nobody."""

    def sniff(self, data: bytes) -> bool:
        """Return whether ``data`` looks like a file of this format."""

    def read(self, data: bytes, limits: Limits) -> Picture:
        """Decode ``data``, or raise ImageError."""

    def write(self, picture: Picture) -> bytes:
        """Encode ``picture``; equal pixels give equal bytes."""


class DicomFormat:
    """DICOM, by a package that is imported only when a DICOM file is read or written.

    It imports pydicom, which no other format needs.
    """

    form = Format.DICOM
    anonymous_form = Format.PNG
    """Without a header that was de-identified: see :mod:`xray.image.dicom.deidentify`."""

    def sniff(self, data: bytes) -> bool:
        """Return whether the preamble is followed by the prefix (PS3.10, section 7.1).

        Some old archives hold files without a preamble: these begin with an element of the first
        groups.
        """
        return data[128:132] == b"DICM" or _FIRST_ELEMENT.match(data) is not None

    def read(self, data: bytes, limits: Limits) -> Picture:
        """Decode the radiograph in ``data``, or raise ImageError."""
        from xray.image import dicom

        return dicom.read_image(data, limits)

    def write(self, picture: Picture) -> bytes:
        """Encode ``picture`` as a Secondary Capture of its patient and study."""
        from xray.image import dicom

        return dicom.write_image(picture)


# DICOM comes first: its preamble may hold the signature of a TIFF file.
_HANDLERS: dict[Format, FormatHandler] = {
    handler.form: handler for handler in (DicomFormat(), raster.JPEG, raster.PNG, raster.TIFF)
}


def decode(data: bytes, *, limits: Limits | None = None) -> Picture:
    """Decode the image in ``data``.

    Raises:
        ImageError: the data is empty, too large, not an image of a known format, has too
            many frames, is damaged, or is a DICOM object other than a radiograph. The
            message says which.
    """
    limits = limits or Limits()
    if not data:
        raise ImageError("The object is empty: upload the image again.", fault=ImageFault.EMPTY)
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"The object has {len(data)} bytes; the limit max_bytes is {limits.max_bytes}.",
            fault=ImageFault.TOO_LARGE,
        )
    for handler in _HANDLERS.values():
        if handler.sniff(data):
            return handler.read(data, limits)
    raise ImageError(
        "The object is not an image: its content is neither JPEG, PNG, TIFF nor DICOM.",
        fault=ImageFault.NOT_AN_IMAGE,
    )


def encode(picture: Picture) -> bytes:
    """Encode ``picture`` in its format, without metadata; equal pixels give equal bytes.

    Of a DICOM picture's header, the elements of the patient and the study are kept.
    """
    return _HANDLERS[picture.format].write(picture)


def anonymous(picture: Picture) -> Picture:
    """Return ``picture`` as 8-bit grey in a format whose bytes name nobody: DICOM becomes PNG.

    The result, in mode L, is all that can be inspected for text, and all that is published:
    text can be hidden in a deeper image's low bits, or in hues of the same luma (ITU-R BT.601).
    Text that is visible in 8-bit grey stays.
    """
    return Picture(picture.eight_bit().convert("L"), anonymous_format(picture.format))


def deidentified(
    picture: Picture, original: Picture, secret: str, retained: Iterable[str]
) -> Picture:
    """Return an anonymous picture of a DICOM image as DICOM, with its header de-identified.

    Args:
        picture: the result of :func:`anonymous`.
        original: the DICOM image.
        secret: the deployment's secret, which keys the identifiers.
        retained: what is kept beyond the Basic Profile: the fields of
            :class:`xray.image.dicom.Retained`.
    """
    from xray.image import dicom

    kept = dicom.Retained(**dict.fromkeys(retained, True))
    header = dicom.deidentified(original.header, secret, kept)
    return replace(picture, format=Format.DICOM, header=header)


def anonymous_format(form: Format) -> Format:
    """Return the format of the anonymised image of an image in a format."""
    return _HANDLERS[form].anonymous_form
