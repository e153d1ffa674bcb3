"""An image with so much text that it cannot be removed, which therefore is quarantined."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont


def letter() -> bytes:
    """Return the image as a PNG of 500 x 400 pixels. The person does not exist."""
    image = Image.new("L", (500, 400), 20)
    for line in range(14):
        text = "Ada Ashgrove 1957-07-10 1234"
        ImageDraw.Draw(image).text((4, 28 * line), text, 235, ImageFont.load_default(27))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
