"""The two kinds of failure that a case can meet.

A *permanent* failure stays the same however often it is tried: it ends the
case at once. A *passing* one may be gone a minute later: it is retried. Each
message is one sentence for people. It names the property that is wrong and
what to do, and never the object's key, which is patient data.
"""


class XrayError(Exception):
    """Base of every failure that this package raises on purpose."""


class PermanentError(XrayError):
    """Trying again cannot help; somebody has to change something first."""


class TransientError(XrayError):
    """Trying again later may help."""


class SettingsError(PermanentError):
    """A setting is missing, unknown or out of range."""


class NotificationError(PermanentError):
    """A message is not a bucket notification that can be read."""


class ImageError(PermanentError):
    """Bytes that are not an image this package can process."""


class ModelError(PermanentError):
    """The model's files are missing, damaged or of the wrong kind."""


class ObjectError(PermanentError):
    """The object is gone, was replaced, or may not be read or written."""


class NotFoundError(TransientError):
    """There is no such object: not yet, or not any more."""

    def __init__(self, reason: str, *, deleted: bool = False) -> None:
        super().__init__(reason)
        self.deleted = deleted
        """Whether the store says that it was deleted, so that it cannot be on its way."""
