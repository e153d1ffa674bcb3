"""Draw ``include/model/failures.png``, for the model's card: ``python -m bench.failures``.

The picture shows a synthetic chest of each class, with the risk and the evidence after several
changes, and images that the gate refuses.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from bench import odd_images
from include.demo.stack import ROOT
from xray.image import caption_text, decode, draw_evidence, print_caption
from xray.risk import RiskModel
from xray.settings import Label, Settings

DEMO = ROOT / "include" / "demo" / "images"
OUT = ROOT / "include" / "model" / "failures.png"
TILE = (240, 200)


def main() -> None:
    """Draw the picture, and print the captions."""
    model = RiskModel.load()
    rows = []
    for folder in ("NORMAL", "PNEUMONIA"):
        chest = decode(sorted((DEMO / folder).glob("*.jpeg"))[0].read_bytes()).pixels.convert("L")
        rows.append(
            {
                f"{folder.lower()}, as it is": chest,
                "blurred": chest.filter(ImageFilter.GaussianBlur(12)),
                "sharpened": chest.filter(ImageFilter.UnsharpMask(12, 250, 0)),
                "a black box on a lung": _boxed(chest),
                "half the brightness": ImageEnhance.Brightness(chest).enhance(0.5),
            }
        )
    rows.append(
        {
            "upside down": chest.transpose(Image.Transpose.ROTATE_180),
            "turned left": chest.transpose(Image.Transpose.ROTATE_90),
            "inverted": ImageOps.invert(chest),
            "hand": odd_images.kinds()["hand"][0],
            "photograph": odd_images.kinds()["photograph"][0],
        }
    )
    sheet = Image.new("RGB", (5 * TILE[0], len(rows) * (TILE[1] + 18)), "white")
    for row, images in enumerate(rows):
        for column, (name, image) in enumerate(images.items()):
            tile, said = _tile(model, image)
            corner = column * TILE[0], row * (TILE[1] + 18)
            ImageDraw.Draw(sheet).text((corner[0] + 4, corner[1] + 3), name, fill="black")
            sheet.paste(tile, (corner[0], corner[1] + 18))
            print(f"{name:24} {said}")
    sheet.quantize(128).save(OUT, optimize=True)
    print(f"{OUT.relative_to(ROOT)}: {OUT.stat().st_size} bytes")


def _tile(model: RiskModel, image: Image.Image) -> tuple[Image.Image, str]:
    prediction = model.predict(image)
    label = Label.UNSURE if prediction.refused else Settings().label(prediction.risk)
    said = caption_text(label, prediction.risk, refused=prediction.refused)
    small = image.convert("L").resize(TILE)
    if prediction.evidence and not prediction.refused:
        small = draw_evidence(small, prediction.evidence)
    return print_caption(small.convert("RGB"), said), said


def _boxed(chest: Image.Image) -> Image.Image:
    pixels = np.array(chest)
    height, width = pixels.shape
    pixels[height // 3 : height // 2, width // 5 : 2 * width // 5] = 0
    return Image.fromarray(pixels)


if __name__ == "__main__":
    main()
