"""The redaction of files and folders, with a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xray.errors import ImageError
from xray.image import Format, anonymous, decode, deidentified, encode
from xray.redaction.redactor import ENGINE, redact


@dataclass(frozen=True, slots=True)
class DicomOutput:
    """How DICOM files are written as de-identified DICOM."""

    secret: str
    """The deployment's secret, which keys the identifiers."""
    retained: frozenset[str] = frozenset()
    """What is kept beyond the Basic Profile: the fields of :class:`xray.image.dicom.Retained`."""


def redact_files(
    source: Path, target: Path, dicom: DicomOutput | None = None
) -> list[dict[str, Any]]:
    """Redact a file, or all files in a folder and its subfolders.

    Args:
        source: a file or a folder.
        target: where the redacted files go: a file or a folder for a file, a folder for a folder.
        dicom: how DICOM files are written; None to write them as PNG.

    Returns:
        The report: one entry for each file, as :func:`redact_file` returns it.
    """
    return [redact_file(*paths, dicom) for paths in _paths(source, target)]


def redact_file(
    source: Path, target: Path, name: str, dicom: DicomOutput | None = None
) -> dict[str, Any]:
    """Redact one file.

    A quarantined image is not written. Without ``dicom``, a DICOM file becomes a PNG file.

    Args:
        source: the image.
        target: where the redacted image goes. Its folder is created.
        name: the file's name in the report.
        dicom: how a DICOM file is written; None to write it as PNG.

    Returns:
        The report's entry for the file: ``file``, ``output`` (None if nothing was written),
        ``boxes``, ``engine``, ``verified``, ``quarantined``, and ``error`` (None if there is none).
    """
    entry: dict[str, Any] = {
        "file": name,
        "output": None,
        "boxes": [],
        "engine": ENGINE,
        "verified": False,
        "quarantined": False,
        "error": None,
    }
    try:
        original = decode(source.read_bytes())
    except ImageError as error:
        return {**entry, "error": str(error)}
    except OSError as error:
        return {**entry, "error": f"The file cannot be read: {error.strerror}."}
    picture = anonymous(original)
    redaction = redact(picture.pixels)
    entry = {
        **entry,
        "boxes": [list(box) for box in redaction.boxes],
        "verified": redaction.verified,
        "quarantined": redaction.quarantined,
    }
    if redaction.quarantined:
        return entry
    if original.format is Format.DICOM and dicom:
        picture = deidentified(picture, original, dicom.secret, dicom.retained)
    elif original.format is Format.DICOM:
        target = _png_path(target, source)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode(replace(picture, pixels=redaction.image)))
    return {**entry, "output": str(target)}


def _png_path(target: Path, source: Path) -> Path:
    """Return ``target`` as the path of a PNG file.

    The extension .png replaces .dcm, unless a PNG file of the same name is beside ``source``;
    otherwise it is appended.
    """
    if target.suffix.lower() == ".png":
        return target
    is_free = not source.with_suffix(".png").exists()
    if target.suffix.lower() == ".dcm" and is_free:
        return target.with_suffix(".png")
    return target.with_name(f"{target.name}.png")


def _paths(source: Path, target: Path) -> Iterator[tuple[Path, Path, str]]:
    """Yield the input, the output and the report's name of each file."""
    if source.is_file():
        yield source, target / source.name if target.is_dir() else target, source.name
        return
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name = path.relative_to(source)
        yield path, target / name, str(name)
