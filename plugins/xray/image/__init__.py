"""Images: bytes in, a picture out, and back, within limits."""

from xray.image.picture import (
    Format,
    Limits,
    Picture,
    anonymous,
    decode,
    eight_bit,
    encode,
    significant_bits,
)

__all__ = [
    "Format",
    "Limits",
    "Picture",
    "anonymous",
    "decode",
    "eight_bit",
    "encode",
    "significant_bits",
]
