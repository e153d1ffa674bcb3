"""xray.airflow.case.boxes"""

from __future__ import annotations

import pytest

from xray.airflow.case.boxes import FormError, parse_boxes


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("", []),
        (" ; ", []),
        ("0, 900, 310, 1000", [(0, 900, 310, 1000)]),
        (" 1,2 ,3,\t4 ;0, 0, 9, 9;", [(1, 2, 3, 4), (0, 0, 9, 9)]),
    ],
)
def test_boxes_are_read(text: str, boxes: list[tuple[int, int, int, int]]) -> None:
    assert parse_boxes(text) == boxes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1, 2, 3", "Box 1 is not four whole numbers"),
        ("0, 0, 9, 9; the corner", "Box 2 is not four whole numbers"),
        ("-1, 0, 9, 9", "Box 1 is not four whole numbers"),
        ("0.5, 0, 9, 9", "Box 1 is not four whole numbers"),
        ("0, 0, 9, 9, 9", "Box 1 is not four whole numbers"),
        ("9, 0, 0, 9", "Box 1 is empty: right must be greater"),
        ("0, 9, 9, 9", "Box 1 is empty"),
    ],
)
def test_a_typing_error_is_explained(text: str, message: str) -> None:
    with pytest.raises(FormError, match=message) as caught:
        parse_boxes(text)
    assert "corner" not in str(caught.value), "it may be a name"
