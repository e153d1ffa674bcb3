"""xray.image.dicom.view"""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.dicom_files import Pixels, dicom
from xray.image import decode


def code(value: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "a view"
    return [item]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"ViewPosition": "LL"}, "a view from the side"),
        ({"ViewPosition": "lateral "}, "a view from the side"),
        ({"ViewPosition": None, "ViewCodeSequence": code("399198007")}, "a view from the side"),
        ({"ViewPosition": None, "PatientOrientation": ["P", "F"]}, "a view from the side"),
        ({"BodyPartExamined": "HAND"}, "another part of the body"),
        ({"BodyPartExamined": "ABDOMEN", "ViewPosition": "LL"}, "another part of the body"),
        ({"ViewPosition": "AP", "BodyPartExamined": "CHEST"}, None),
        ({"ViewPosition": "LLD", "PatientOrientation": ["L", "F"]}, None),
        ({"ViewCodeSequence": code("399348003")}, None),
        ({"BodyPartExamined": "TORAX"}, None),
        ({"ViewPosition": None, "PatientOrientation": None}, None),
        ({}, None),
    ],
)
def test_only_what_the_header_says_counts(
    chest8: Pixels, elements: dict[str, Any], reason: str | None
) -> None:
    assert decode(dicom(chest8, **elements)).unfit == reason
