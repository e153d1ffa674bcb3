"""Write eight synthetic X-rays as DICOM: ``python -m include.demo.make_dicom DIR``.

``make demo IMAGES=DIR`` then takes them through the pipeline. The chests and the invented patients
are those of the demo's images. Each file stores its pixels in another way, as devices and archives
do. The last two are two studies of one patient.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from include.demo.make_images import IMAGES
from xray.image import decode

Pixels = npt.NDArray[np.uint8]


def plain(pixels: Pixels) -> Dataset:
    """Store 8 bits."""
    return _image(pixels)


def inverted(pixels: Pixels) -> Dataset:
    """Store black as the largest value."""
    return _image(255 - pixels, PhotometricInterpretation="MONOCHROME1")


def windowed(pixels: Pixels) -> Dataset:
    """Store 12 bits, of which a window shows a part."""
    values = pixels.astype(np.uint16) * 4 + 1000
    return _image(values, BitsStored=12, HighBit=11, WindowCenter=1510.5, WindowWidth=1021)


def signed(pixels: Pixels) -> Dataset:
    """Store signed values, and no window."""
    return _image(pixels.astype(np.int16) * 4 - 500, PixelRepresentation=1)


def left_aligned(pixels: Pixels) -> Dataset:
    """Store 12 bits at the top of 16, as old devices do."""
    values = np.rint(pixels * (4095 / 255)).astype(np.uint16) << 4
    return _image(values, BitsStored=12, HighBit=15)


def padded(pixels: Pixels) -> Dataset:
    """Store a border of a value that is no part of the image."""
    values = np.pad(pixels.astype(np.int16) * 4, 20, constant_values=-2000)
    return _image(values, PixelRepresentation=1, PixelPaddingValue=-2000)


def computed(pixels: Pixels) -> Dataset:
    """Store a computed radiograph."""
    return _image(pixels, SOPClassUID=uid.ComputedRadiographyImageStorage, Modality="CR")


def packed(pixels: Pixels) -> Dataset:
    """Store 8 bits, compressed as RLE."""
    result = _image(pixels)
    result.compress(uid.RLELossless, generate_instance_uid=False)
    return result


WAYS: tuple[Callable[[Pixels], Dataset], ...] = (
    *(plain, inverted, windowed, signed),
    *(left_aligned, padded, computed, packed),
)


def _image(pixels: npt.NDArray[np.generic], **elements: object) -> Dataset:
    """Return a digital X-ray of ``pixels``; ``elements`` are added, or take the place of others."""
    result = Dataset()
    result.file_meta = FileMetaDataset()
    result.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    result.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    result.Modality = "DX"
    result.BodyPartExamined, result.ViewPosition = "CHEST", "PA"
    result.PresentationIntentType = "FOR PRESENTATION"
    result.SamplesPerPixel = 1
    result.PhotometricInterpretation = "MONOCHROME2"
    result.Rows, result.Columns = pixels.shape
    result.BitsAllocated = result.BitsStored = pixels.dtype.itemsize * 8
    result.HighBit = result.BitsStored - 1
    result.PixelRepresentation = 0
    result.PixelData = pixels.tobytes()
    result["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        setattr(result, keyword, value)
    return result


def _name(result: Dataset, file: Path, instance: int) -> None:
    """Add the patient and the study that the name of a demo's image tells."""
    _, name, number, born, taken = file.stem.split("_")
    result.PatientName = "^".join(reversed(name.split(" ")))
    result.PatientID = number
    result.PatientBirthDate, result.StudyDate = born.replace("-", ""), taken.replace("-", "")
    result.PatientSex = "O"
    result.AccessionNumber = f"A{number}"
    study = uid.generate_uid(entropy_srcs=[file.stem])
    result.StudyInstanceUID, result.SeriesInstanceUID = study, f"{study[:60]}.1"
    result.SOPInstanceUID = uid.generate_uid(entropy_srcs=[file.stem, str(instance)])


def main(folder: Path) -> None:
    """Write the files."""
    sources = [
        *sorted(IMAGES.rglob("NORMAL/*.jpeg"))[:3],
        *sorted(IMAGES.rglob("PNEUMONIA/*.jpeg")),
    ]
    people = [file for file in sources if not file.name.startswith("demo_Dario")]
    for instance, (way, file) in enumerate(zip(WAYS, people, strict=False)):
        pixels = np.asarray(decode(file.read_bytes()).pixels.convert("L"))
        patient = people[6] if way is packed else file
        taken = file.stem.rpartition("_")[2]
        named = patient.with_name(f"{patient.stem.rpartition('_')[0]}_{taken}.dcm")
        result = way(pixels)
        _name(result, named, instance)
        target = folder / file.parent.name / named.name
        target.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(target, result, enforce_file_format=True)
        sys.stdout.write(f"{target}: {way.__name__.replace('_', '-')}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m include.demo.make_dicom DIR")
    main(Path(sys.argv[1]))
