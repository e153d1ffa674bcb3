"""Cases on the demo's images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.cases import upload
from xray.case import Work
from xray.image import decode, encode
from xray.storage import ObjectStore

_REDACTED: dict[Any, Any] = {}


@pytest.fixture(autouse=True)
def each_image_is_redacted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redact equal images once in all tests: a redaction takes seconds, and gives the same."""
    from xray import redaction

    done = redaction.redact

    def redact(image: Any, **options: Any) -> Any:
        if not isinstance(image, Image.Image):
            return done(image, **options)
        key = (image.size, image.tobytes(), *sorted(options.items()))
        if key not in _REDACTED:
            _REDACTED[key] = done(image, **options)
        result = _REDACTED[key]
        return dataclasses.replace(result, image=result.image.copy())

    monkeypatch.setattr(redaction, "redact", redact)


@pytest.fixture
def sick(demo_images: list[Path]) -> bytes:
    """A demo image with pneumonia."""
    return next(path for path in demo_images if "Bruno" in path.name).read_bytes()


@pytest.fixture
def work(s3: Any, store: ObjectStore, sick: bytes) -> Work:
    """A case on a demo image with pneumonia."""
    return upload(s3, store, sick)


@pytest.fixture
def upside_down(s3: Any, store: ObjectStore, sick: bytes) -> Work:
    """A case on a chest that is upside down, which the model refuses."""
    picture = decode(sick)
    turned = picture.pixels.transpose(Image.Transpose.ROTATE_180)
    return upload(s3, store, encode(dataclasses.replace(picture, pixels=turned)))
