"""The de-identified header of an anonymised image, by the profiles of PS3.15, annex E.

The header is made anew from an allow-list of elements and, where a person could
have typed a name, of their values. An element that nobody thought of is never in
it. The Basic Profile is always applied, and its option *Clean Pixel
Data*: the pixels were redacted. Three options keep more (:class:`Retained`).

Identifiers are keyed hashes, so the images of one patient, one study and one
series stay together, and nobody without the secret can find whose they are.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from xray.image.dicom.quiet import quietly
from xray.pseudonym import pseudonym

METHOD = "xray: new header by an allow-list, text removed from the pixels"
"""The De-identification Method."""
VIEW = {
    "Modality": r"CR|DX|OT|RG|SC|XC",
    "BodyPartExamined": r"CHEST|LUNG|THORAX|RIB|HEART",
    "ViewPosition": r"AP|PA|LL|RL|LLD|RLD|LLO|RLO",
    "PatientOrientation": r"[AFHLPR]{1,3}",
    "Laterality": r"[LRBU]",
}
"""What the image shows. No rule of the profile applies to these elements; but a value that is not
one of these could hold a name, and is left out."""
CHARACTERISTICS = {
    "PatientSex": r"[MFO]",
    "PatientAge": r"\d{3}[DWMY]",
    "PatientSize": r"[\d.]{1,16}",
    "PatientWeight": r"[\d.]{1,16}",
}
"""Kept by the option *Retain Patient Characteristics*, if the value is one of these."""
DEVICE = dict.fromkeys(
    ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"), r".*"
)
"""Kept by the option *Retain Device Identity*."""
DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
TIMES = dict.fromkeys(
    ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"), r"\d{2,6}(\.\d{1,6})?"
)
"""Kept by the option *Retain Longitudinal Temporal Information with Modified Dates*: the dates are
moved, the times of day are not."""
NEEDED = (
    *("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate"),
    *("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
)
"""The elements that the identifiers are made of."""
KEPT = (*NEEDED, *VIEW, *CHARACTERISTICS, *DEVICE, *DATES, *TIMES)
"""All elements of an original that :func:`deidentified` reads."""
_EMPTY = (
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("PatientBirthDate", "PatientSex", "PatientOrientation"),
)
"""The elements that every image has, empty if nothing is kept (type 2, PS3.5, section 7.4.3)."""
_MOST_DAYS = 3650
"""The dates of a patient are moved back by one to so many days."""
_CODES = {
    "profile": ("113100", "Basic Application Confidentiality Profile"),
    "pixels": ("113101", "Clean Pixel Data Option"),
    "dates": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "characteristics": ("113108", "Retain Patient Characteristics Option"),
    "device": ("113109", "Retain Device Identity Option"),
}
"""The codes of PS3.16, CID 7050."""


@dataclass(frozen=True, slots=True)
class Retained:
    """What is kept beyond the Basic Profile."""

    dates: bool = False
    """The dates, all moved by the same number of days for one patient; and the times of day."""
    device: bool = False
    """The device: manufacturer, model, serial number and software."""
    characteristics: bool = False
    """The patient's sex, age, size and weight."""


def deidentified(header: Dataset, secret: str, retained: Retained) -> Dataset:
    """Return the elements of the patient, the study, the series and the view, without a name.

    Args:
        header: elements of the original; :data:`NEEDED` and what may be kept.
        secret: the deployment's secret, at least 16 bytes.
        retained: what is kept beyond the Basic Profile.

    Raises:
        SettingsError: the secret is too short.
    """
    with quietly():
        result = Dataset()
        result.SpecificCharacterSet = "ISO_IR 192"
        patient = _patient(header)
        _copy(header, result, VIEW)
        if retained.characteristics:
            _copy(header, result, CHARACTERISTICS)
        if retained.device:
            _copy(header, result, DEVICE)
        if retained.dates:
            _copy(header, result, TIMES)
            _move_dates(header, result, _days(secret, patient))
        for keyword in _EMPTY:
            if keyword not in result:
                setattr(result, keyword, None)
        name = pseudonym(secret, "dicom-patient", *patient)
        result.PatientID = result.PatientName = name
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            original = str(header.get(keyword) or "")
            # Without one, all of the patient's images share it: write_deidentified tells instances
            # apart by their pixels.
            setattr(result, keyword, _uid(secret, keyword, original or name))
        _say_how(result, retained)
        return result


def _patient(header: Dataset) -> list[str]:
    """Return what tells a patient from others: the id and who issued it, or else name and birth."""
    by_id = ("PatientID", "IssuerOfPatientID")
    keywords = by_id if header.get("PatientID") else ("PatientName", "PatientBirthDate")
    parts = [str(header.get(keyword) or "").strip() for keyword in keywords]
    # Without either, the images of a study are of one patient.
    return parts if any(parts) else [str(header.get("StudyInstanceUID") or "")]


def _copy(header: Dataset, result: Dataset, forms: Mapping[str, str]) -> None:
    """Copy the elements all of whose values have the form."""
    for keyword, form in forms.items():
        value = header.get(keyword)
        parts = value if isinstance(value, MultiValue) else [value]
        if value and all(re.fullmatch(form, str(part)) for part in parts):
            setattr(result, keyword, value)


def _days(secret: str, patient: list[str]) -> int:
    """Return the number of days by which the dates of a patient are moved back."""
    return 1 + int(pseudonym(secret, "dicom-dates", *patient), 16) % _MOST_DAYS


def _move_dates(header: Dataset, result: Dataset, days: int) -> None:
    """Set the moved dates. A date that is not one is left out."""
    for keyword in DATES:
        text = str(header.get(keyword) or "").strip()
        try:
            date = datetime.datetime.strptime(text, "%Y%m%d").date()
            moved = date - datetime.timedelta(days)
        except (ValueError, OverflowError):
            continue
        setattr(result, keyword, f"{moved:%Y%m%d}")


def _uid(secret: str, keyword: str, original: str) -> uid.UID:
    """Return a UID that is the same for the same original, and tells nothing about it."""
    return uid.generate_uid(entropy_srcs=[pseudonym(secret, f"dicom-{keyword}", original)])


def _say_how(result: Dataset, retained: Retained) -> None:
    """Add the elements that say that the image was de-identified, and how (PS3.15, section E.1)."""
    kept = {name: getattr(retained, name) for name in ("dates", "characteristics", "device")}
    result.PatientIdentityRemoved = "YES"
    result.DeidentificationMethod = METHOD
    result.DeidentificationMethodCodeSequence = [
        _code(*_CODES[name]) for name in _CODES if kept.get(name, True)
    ]
    result.LongitudinalTemporalInformationModified = "MODIFIED" if retained.dates else "REMOVED"
    result.BurnedInAnnotation = "NO"


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code
