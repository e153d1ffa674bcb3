"""A picture of all cases: the original, annotated and anonymised image of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from xray.errors import ImageError
from xray.image import decode

TILE = (226, 186)
"""Width and height of a thumbnail, in pixels."""
GAP = 6
COLUMNS = 2
"""Cases side by side."""
TITLE = 46
CAPTION = 24
PAPER, PANEL, INK, FAINT = (17, 20, 26), (28, 33, 42), (228, 232, 240), (130, 140, 156)
ACCENTS = {"Normal": (96, 200, 140), "Unsure": (236, 190, 90), "Pneumonia": (238, 110, 104)}


@dataclass(frozen=True, slots=True)
class Row:
    """The encoded images of a case; None for an image that does not exist."""

    original: bytes | None
    annotated: bytes | None
    anonymized: bytes | None
    label: str
    caption: str
    """A text without personal data."""


def draw_contact_sheet(rows: Sequence[Row], path: Path) -> None:
    """Draw ``rows`` and save the sheet as a PNG at ``path``."""
    lines = -(-len(rows) // COLUMNS)
    case_width = 3 * TILE[0] + 4 * GAP
    case_height = TILE[1] + CAPTION + 2 * GAP
    width = COLUMNS * case_width + (COLUMNS + 1) * 2 * GAP
    sheet = Image.new("RGB", (width, TITLE + lines * (case_height + 2 * GAP) + 2 * GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column in range(min(COLUMNS, len(rows))):
        left = 2 * GAP + column * (case_width + 2 * GAP)
        for index, title in enumerate(("original", "annotated", "anonymised")):
            centre = left + GAP + index * (TILE[0] + GAP) + TILE[0] // 2
            draw.text((centre, TITLE // 2), title, fill=FAINT, font=_font(17), anchor="mm")
    for index, row in enumerate(rows):
        left = 2 * GAP + index % COLUMNS * (case_width + 2 * GAP)
        top = TITLE + index // COLUMNS * (case_height + 2 * GAP)
        draw.rounded_rectangle((left, top, left + case_width, top + case_height), 8, fill=PANEL)
        _draw_case(sheet, draw, row, left + GAP, top + GAP)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(160, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def _draw_case(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, left: int, top: int
) -> None:
    placeholders = ("no image", "failed", "not wanted" if row.annotated else "failed")
    images = (row.original, row.annotated, row.anonymized)
    for index, (data, placeholder) in enumerate(zip(images, placeholders, strict=True)):
        corner = (left + index * (TILE[0] + GAP), top)
        box = (*corner, corner[0] + TILE[0] - 1, top + TILE[1] - 1)
        draw.rectangle(box, fill=PAPER)
        middle = (corner[0] + TILE[0] // 2, top + TILE[1] // 2)
        thumbnail = _thumbnail(data)
        if thumbnail:
            sheet.paste(
                thumbnail, (middle[0] - thumbnail.width // 2, middle[1] - thumbnail.height // 2)
            )
        else:
            draw.text(middle, placeholder, fill=FAINT, font=_font(14), anchor="mm")
    y = top + TILE[1] + GAP + CAPTION // 2 - 2
    draw.ellipse((left + 2, y - 4, left + 10, y + 4), fill=ACCENTS.get(row.label, FAINT))
    draw.text((left + 18, y), row.caption, fill=INK, font=_font(14), anchor="lm")


def _thumbnail(data: bytes | None) -> Image.Image | None:
    if data is None:
        return None
    try:
        image = decode(data).eight_bit().convert("RGB")
    except ImageError:
        return None  # One of the demo's bad files.
    image.thumbnail(TILE, Image.Resampling.LANCZOS)
    return image


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
