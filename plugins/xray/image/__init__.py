"""Images: decoding and encoding within limits, and what is drawn on an image.

pydicom is imported only when a DICOM file is read or written.
"""

from xray.image.caption import caption_text, print_caption
from xray.image.evidence import draw_evidence
from xray.image.formats import anonymous, anonymous_format, decode, deidentified, encode
from xray.image.picture import ANY_SIZE, Format, Limits, Picture, eight_bit, significant_bits
from xray.image.rulers import draw_rulers

__all__ = [
    "ANY_SIZE",
    "Format",
    "Limits",
    "Picture",
    "anonymous",
    "anonymous_format",
    "caption_text",
    "decode",
    "deidentified",
    "draw_evidence",
    "draw_rulers",
    "eight_bit",
    "encode",
    "print_caption",
    "significant_bits",
]
