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
from xray.audit.source import add_source, given_objects
from xray.audit.trail import ENDS, append, erase, find, objects, records, trails
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
    "add_source",
    "append",
    "checkpoint_name",
    "digest",
    "erase",
    "find",
    "given_objects",
    "is_checkpoint_name",
    "make_checkpoint",
    "objects",
    "read_checkpoint",
    "records",
    "trails",
    "verify",
]
