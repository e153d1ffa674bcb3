"""The failures that this package raises on purpose:

* XrayError
  x PermanentError
    + SettingsError
    + NotificationError
      - UnreadableError (in :mod:`xray.notification`)
    + ImageError
    + ModelError
    + ObjectError
      - ConflictError
      - StaleError
  x TransientError
    + BlockedError
      - ForbiddenError
    + NotFoundError

A *permanent* failure stays the same however often the step is tried: it ends
the case at once. A *passing* failure may be gone a minute later: the step is
tried again. A *blocked* step is tried again, too, but with long pauses: a person
has to mend the deployment first. Each message is one sentence for people. It says what is wrong and
what to do, and never contains the object key, which is patient data.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class XrayError(Exception):
    """Base class of all failures that this package raises on purpose."""

    facts: Mapping[str, Any] = {}
    """Further fields of the failure's audit record: what cannot be taken back."""


class PermanentError(XrayError):
    """A failure that another try cannot change: somebody has to change something first."""


class TransientError(XrayError):
    """A passing failure: a later try may succeed."""


class SettingsError(PermanentError):
    """A setting is missing, unknown or out of range."""


class NotificationError(PermanentError):
    """A message is not a bucket notification, or lacks a property."""


class ImageFault(StrEnum):
    """What is wrong with an image. The values are data: metrics hold them."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    NOT_A_RADIOGRAPH = "not_a_radiograph"
    """A DICOM object of another class, or one that is not for presentation."""
    TOO_LARGE = "too_large"
    """More bytes or pixels than a limit allows."""
    TOO_SMALL = "too_small"
    TOO_MANY_FRAMES = "too_many_frames"
    DAMAGED = "damaged"
    UNSUPPORTED = "unsupported"
    """A form of the format that is not read."""


class ImageError(PermanentError):
    """The bytes are not an image that this package can process."""

    def __init__(self, reason: str, *, fault: ImageFault = ImageFault.DAMAGED) -> None:
        super().__init__(reason)
        self.fault = fault


class ModelError(PermanentError):
    """A file of the model is missing, damaged or of the wrong kind."""


class ObjectError(PermanentError):
    """An object is gone, was replaced, or cannot be read or written as it is."""


class ConflictError(ObjectError):
    """An object is not, or no longer, what the condition of a request says."""


class StaleError(ObjectError):
    """A case or a form is about a state of its object that is no longer the present one."""


class BlockedError(TransientError):
    """A failure of the deployment that a person mends without touching the object.

    Examples are rotated keys, a clock that is wrong, a missing right or a missing bucket. A later
    try succeeds once the cause that the message names is fixed.
    """


class ForbiddenError(BlockedError):
    """The account lacks a right, or the object is locked: stores do not tell one from the other."""


class NotFoundError(TransientError):
    """An object is not in the store: not yet, or no longer."""

    def __init__(self, reason: str, *, deleted: bool = False) -> None:
        super().__init__(reason)
        self.deleted = deleted
        """Whether the store says that the object was deleted, and so will not appear later."""
