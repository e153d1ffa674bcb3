"""xray.case.pictures"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support import ROOT
from tests.support.cases import BUCKET, objects
from tests.support.text_images import with_text
from xray.case import pictures
from xray.case.pictures import PREVIEW_SIDE, View
from xray.image import Format, Picture
from xray.redaction import equalize_contrast
from xray.storage import ObjectStore

CASE_ID = "0123456789abcdef" * 2
MEGABYTES_ABOVE_THE_PICTURE = 250
PEAK = """
import sys
import numpy as np
from PIL import Image
from xray.case import pictures
from xray.image import Format, Picture
from xray.redaction import equalize_contrast

def megabytes(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

noise = Image.effect_noise((5000, 4000), 20)
picture = Picture(noise.convert(sys.argv[1]), Format.PNG)
del noise
equalize_contrast(np.zeros((64, 64), np.uint8))
before = megabytes("VmRSS")
for view, data in pictures.render(picture, rulers=sys.argv[1] == "L"):
    del data
print(megabytes("VmHWM") - before)
"""
"""Prints the megabytes that the views of a picture of 20 megapixels take beside the picture."""


def views(image: Image.Image, *, rulers: bool, depth: int = 8) -> dict[View, Image.Image]:
    """Render an image, and decode each view."""
    picture = Picture(image, Format.PNG, depth)
    found = {}
    for view, data in pictures.render(picture, rulers=rulers):
        found[view] = Image.open(io.BytesIO(data))
        assert found[view].get_format_mimetype() == view.content_type
    return found


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_full_view_shows_every_pixel(chest: Image.Image, mode: str) -> None:
    image = chest.convert(mode)
    full = views(image, rulers=mode == "L")[View.FULL]
    assert full.mode == mode
    assert np.array_equal(np.asarray(full), np.asarray(image))


def test_the_full_view_of_a_deep_image_is_its_8_bit_view(chest: Image.Image) -> None:
    twelve = Image.fromarray(np.asarray(chest).astype(np.uint16) * 16)
    full = views(twelve, rulers=False, depth=12)[View.FULL]
    assert np.array_equal(np.asarray(full), np.asarray(Picture(twelve, Format.PNG, 12).eight_bit()))


def test_no_view_has_a_colour_profile_which_would_change_its_greys(chest: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    chest.info.update(icc_profile=profile, gamma=0.1)
    for view in views(chest, rulers=False).values():
        assert "icc_profile" not in view.info
        assert "gamma" not in view.info


@pytest.mark.parametrize("size", [(2400, 1300), (1300, 2400), (640, 480)])
@pytest.mark.parametrize("rulers", [True, False])
def test_a_preview_is_small_and_the_other_views_are_not(
    chest: Image.Image, size: tuple[int, int], rulers: bool
) -> None:
    found = views(chest.resize(size), rulers=rulers)
    preview = found[View.PREVIEW]
    assert max(preview.size) == PREVIEW_SIDE if max(size) > PREVIEW_SIDE else max(size) + rulers
    assert found[View.FULL].size == found[View.STRETCHED].size == size


def test_a_preview_with_rulers_has_the_image_below_and_beside_them(chest: Image.Image) -> None:
    plain, ruled = (views(chest, rulers=one)[View.PREVIEW] for one in (False, True))
    width = ruled.width - plain.width
    assert width == ruled.height - plain.height > 20
    inside = np.asarray(ruled)[width:, width:].astype(int)
    assert np.abs(inside[8:, 8:] - np.asarray(plain)[8:, 8:]).max() < 16, "JPEG"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [14, 24, 60])
@pytest.mark.parametrize("ground", ["flat", "slope"])
def test_text_of_one_grey_level_is_visible_when_stretched(
    ground: str, size: int, sign: int
) -> None:
    greys = (
        np.full((900, 1200), 120) if ground == "flat" else np.tile(np.arange(1200) / 6, (900, 1))
    )
    text = Image.new("L", (1200, 900))
    text = with_text(text, "Ada 1957", (40, 40), size=size)
    text = with_text(text, "Ada 1957", (960, 700), size=size)  # across two tiles
    ink = np.asarray(text) > 200
    image = Image.fromarray(np.rint(greys + sign * ink).astype(np.uint8))
    seen = np.asarray(views(image, rulers=True)[View.STRETCHED]).astype(int)
    around = (cv2.dilate(ink.astype(np.uint8), np.ones((5, 5))) > 0) & ~ink
    for half in (np.s_[:450], np.s_[450:]):
        difference = seen[half][ink[half]].mean() - seen[half][around[half]].mean()
        assert sign * difference >= 20


def test_the_tiles_of_the_stretched_view_have_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(0, 256, (40, 30), np.uint8).astype(np.uint8))
    image = small.resize((900, 1300), Image.Resampling.BICUBIC)
    whole = equalize_contrast(np.asarray(image)).astype(int)
    monkeypatch.setattr(pictures, "_TILE_SIDE", 300)
    tiled = np.asarray(views(image, rulers=False)[View.STRETCHED])
    assert tiled.std() > 20
    assert np.abs(tiled - whole).max() <= 1, "sums of floats are rounded differently"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_views_of_20_megapixels_are_rendered_in_bounded_memory(mode: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, mode],
        env={"PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < float(done.stdout) < MEGABYTES_ABOVE_THE_PICTURE


def test_the_pictures_are_written_with_their_entries(
    s3: Any, store: ObjectStore, chest: Image.Image
) -> None:
    bucket = f"{BUCKET}-quarantine"
    picture = Picture(chest, Format.TIFF)
    entries = pictures.put_pictures(store, bucket, CASE_ID, 7, picture, rulers=True)
    found = objects(s3, bucket)
    assert [entry["key"] for entry in entries] == [
        f"{CASE_ID}/7/{name}" for name in ("preview.jpeg", "full.png", "stretched.png")
    ]
    assert {entry["key"] for entry in entries} == set(found)
    for entry, view in zip(entries, View, strict=True):
        data, kind, _ = found[entry["key"]]
        assert entry["key"] == pictures.picture_name(CASE_ID, 7, view)
        assert (entry["bucket"], kind) == (bucket, view.content_type)
        assert (entry["size"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        head = store.head(bucket, entry["key"])
        assert head is not None
        assert head.etag == entry["etag"]
    again = pictures.put_pictures(store, bucket, CASE_ID, 7, picture, rulers=True)
    assert [one["sha256"] for one in again] == [one["sha256"] for one in entries]


def test_a_picture_is_told_from_the_image() -> None:
    assert all(pictures.is_picture(pictures.picture_name(CASE_ID, 1, view)) for view in View)
    for name in ("image.png", "image.jpeg", "annotated.png", "full.tiff", "preview.png"):
        assert not pictures.is_picture(f"{CASE_ID}/1/{name}")
