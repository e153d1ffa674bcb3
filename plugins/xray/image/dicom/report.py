"""The risk as a structured report, which a PACS shows beside the original image.

The report is a Comprehensive SR by the template of measurement reports (PS3.16, TID 1500). It has
one group of measurements, about pneumonia: whether it is present, which is the label; and how
certain the model is, which is the risk.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from highdicom import sr
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from xray.image.dicom.quiet import quietly
from xray.image.dicom.write import STUDY_REQUIRED, add_study, derived_uid, file_bytes
from xray.settings import Label

# Its messages may quote element values.
logging.getLogger("highdicom").addHandler(logging.NullHandler())
logging.getLogger("highdicom").propagate = False

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""What a report refers to its source by."""
_PRODUCT = "xray"
_TITLE = CodedConcept("126000", "DCM", "Imaging Measurement Report")
_PROCEDURE = CodedConcept("399208008", "SCT", "Plain chest X-ray")
_PNEUMONIA = CodedConcept("233604007", "SCT", "Pneumonia")
_LUNG = CodedConcept("39607008", "SCT", "Lung")
_CERTAINTY = CodedConcept("111013", "DCM", "Certainty of Finding")
_PERCENT = CodedConcept("%", "UCUM", "Percent")
_PRESENCE = CodedConcept("705057003", "SCT", "Presence")
_DEVICE = CodedConcept("121007", "DCM", "Device")
_COMMENT = CodedConcept("121106", "DCM", "Comment")
_PRESENT = {
    Label.PNEUMONIA: CodedConcept("52101004", "SCT", "Present"),
    Label.UNSURE: CodedConcept("82334004", "SCT", "Indeterminate"),
    Label.NORMAL: CodedConcept("2667000", "SCT", "Absent"),
}


def write_report(
    header: Dataset,
    label: Label,
    risk: float,
    *,
    model: str,
    caption: str,
    at: datetime,
    refused: bool = False,
) -> bytes | None:
    """Return the structured report of a radiograph; equal arguments give equal bytes.

    Args:
        header: the header of the picture: see :func:`~xray.image.dicom.write.study_elements`.
        label: the label of the image.
        risk: the risk of pneumonia, from 0 to 1.
        model: the version of the model.
        caption: the text that is printed on the annotated image. It says whether a person chose the
            label, and why the model refused the image.
        at: the time of the report, which is written in UTC.
        refused: whether the model refused the image. The report then has no certainty.

    Returns:
        A DICOM file; None if the source has no UIDs that a report could refer to.
    """
    if not all(header.get(keyword) for keyword in _UIDS):
        return None
    moment = at.astimezone(UTC)
    seeds = [str(header.SOPInstanceUID), model, caption, moment.isoformat()]
    with quietly():
        group = _group(header, label, None if refused else risk, model, caption, seeds)
        result = sr.ComprehensiveSR(
            evidence=[_evidence(header)],
            content=_content(group, model),
            series_instance_uid=derived_uid("report series", seeds),
            series_number=1,
            sop_instance_uid=derived_uid("report", seeds),
            instance_number=1,
            manufacturer=_PRODUCT,
            is_complete=True,
        )
        # Not by way of the evidence: a value that breaks a rule of the standard would be refused.
        add_study(result, header, seeds)
        result.SeriesDescription = "Risk of pneumonia"
        del result.ContributingEquipmentSequence  # It has the present time.
        _set_time(result, moment)
        return file_bytes(result)


def _evidence(header: Dataset) -> Dataset:
    """Return the source as the report refers to it."""
    evidence = Dataset()
    for keyword in STUDY_REQUIRED:
        setattr(evidence, keyword, None)
    for keyword in _UIDS:
        setattr(evidence, keyword, header[keyword].value)
    return evidence


def _content(group: sr.MeasurementsAndQualitativeEvaluations, model: str) -> sr.MeasurementReport:
    """Return the tree of the report: who measured, which procedure, and the measurements."""
    device = sr.ObserverContext(
        observer_type=_DEVICE,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("device", [_PRODUCT, model]), name=_PRODUCT, model_name=model
        ),
    )
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=_PROCEDURE,
        imaging_measurements=[group],
        title=_TITLE,
    )


def _group(
    header: Dataset, label: Label, risk: float | None, model: str, caption: str, seeds: list[str]
) -> sr.MeasurementsAndQualitativeEvaluations:
    """Return the measurements about pneumonia."""
    algorithm = sr.AlgorithmIdentification(name=_PRODUCT, version=model)
    certainty = []
    if risk is not None:
        percent = round(100 * risk, 2)
        certainty.append(sr.Measurement(_CERTAINTY, percent, _PERCENT, algorithm_id=algorithm))
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=derived_uid("finding", seeds), identifier="Pneumonia"
        ),
        source_images=[
            sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID)
        ],
        finding_type=_PNEUMONIA,
        finding_sites=[sr.FindingSite(_LUNG)],
        measurements=certainty,
        qualitative_evaluations=[sr.QualitativeEvaluation(_PRESENCE, _PRESENT[label])],
    )
    group[0].ContentSequence.append(
        sr.TextContentItem(_COMMENT, caption, relationship_type=sr.RelationshipTypeValues.CONTAINS)
    )
    return group


def _set_time(result: Dataset, moment: datetime) -> None:
    """Set the time of the report in place of the present time, so that the bytes are the same."""
    for part in ("InstanceCreation", "Content"):
        setattr(result, f"{part}Date", moment.strftime("%Y%m%d"))
        setattr(result, f"{part}Time", moment.strftime("%H%M%S"))
