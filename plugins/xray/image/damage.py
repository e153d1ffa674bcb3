"""The boundary between a decoder's errors and our own.

Pillow, pydicom and GDCM raise many kinds of exception for damaged files, and
document few of them. Each call of such a decoder therefore stands inside
:func:`decoding`, and nothing else does: an error of our own code comes out as
itself and is never reported as a damaged image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xray.errors import ImageError


def damaged(reason: str) -> ImageError:
    """Return the error for a truncated or damaged image.

    Args:
        reason: what is wrong. It goes to people and to logs, so it must not quote the file.
    """
    return ImageError(f"The image is truncated or damaged ({reason}): upload it again.")


@contextmanager
def decoding(sentence: str | None = None) -> Iterator[None]:
    """Report every error of the decoder called inside as a damaged image.

    The decoder's own message is dropped, because it may quote patient data.

    Args:
        sentence: the whole message of the error; by default, the one of :func:`damaged`
            with the name of the decoder's exception.

    Raises:
        ImageError: the decoder failed.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        if sentence:
            raise ImageError(sentence) from None
        raise damaged(f"{type(error).__name__} while decoding") from None
