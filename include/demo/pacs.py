"""The demo's PACS: an Orthanc that gets the annotated images and the reports of DICOM images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from include.demo.verification import BUCKET, Case
from include.servers.real.orthanc import Orthanc
from xray.case import Buckets
from xray.image import Format

SETTINGS = {"outputs": "annotated_to_pacs", "structured_report": True}
"""The settings of the pipeline with which results go to the PACS."""


def verify_pacs(pacs: Orthanc, cases: Sequence[Case]) -> tuple[str, list[str]]:
    """Return what the PACS has, in one sentence, and what is wrong with it.

    It must have exactly what the cases of DICOM images have published for those who may see names.
    """
    expected = {
        output["sha256"]
        for case in cases
        if case.format == Format.DICOM
        for output in case.outputs(Buckets(BUCKET).processed)
    }
    recorded = {one["sha256"] for case in cases for one in case.sent}
    found = [hashlib.sha256(data).hexdigest() for data in pacs.files()]
    problems = []
    if sorted(found) != sorted(expected):
        problems.append(
            f"the PACS has {len(found)} instances, and not the {len(expected)} expected"
        )
    if recorded != expected:
        problems.append("the audit records do not name what was sent to the PACS")
    return f"{len(found)} DICOM instances of {len(cases)} cases are in the PACS.", problems
