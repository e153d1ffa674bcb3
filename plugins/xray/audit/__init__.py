"""The audit trail: records that are created once, chained, sealed, and never overwritten."""

from xray.audit.checkpoint import (
    CHECKPOINTS,
    Checkpoint,
    TrailEnd,
    checkpoint_name,
    is_checkpoint_name,
    read_checkpoint,
)
from xray.audit.record import (
    AGREED,
    DELETED,
    EXPIRED,
    FAILED,
    REFUSED,
    RELEASED,
    REVIEWED,
    SCHEMA_FILE,
    SUCCEEDED,
    WITHDRAWN,
    digest,
)
from xray.audit.trail import ENDS, append, erase, find, objects, records
from xray.audit.verification import Problem, Verdict, make_checkpoint, verify

__all__ = [
    "AGREED",
    "CHECKPOINTS",
    "DELETED",
    "ENDS",
    "EXPIRED",
    "FAILED",
    "REFUSED",
    "RELEASED",
    "REVIEWED",
    "SCHEMA_FILE",
    "SUCCEEDED",
    "WITHDRAWN",
    "Checkpoint",
    "Problem",
    "TrailEnd",
    "Verdict",
    "append",
    "checkpoint_name",
    "digest",
    "erase",
    "find",
    "is_checkpoint_name",
    "make_checkpoint",
    "objects",
    "read_checkpoint",
    "records",
    "verify",
]
