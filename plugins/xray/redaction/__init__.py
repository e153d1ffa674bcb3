"""Anonymised pixels: burned-in text found, removed, and looked for again."""

from xray.redaction.find import Box, Redaction, filled, masked, redact

__all__ = [
    "Box",
    "Redaction",
    "filled",
    "masked",
    "redact",
]
