"""The audit trail: records that are created once, chained, sealed, and never overwritten."""

from xray.audit.checkpoint import Checkpoint, TrailEnd, checkpoint_name, read_checkpoint
from xray.audit.record import (
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
from xray.audit.trail import append, erase, find, records
from xray.audit.verification import Problem, Verdict, make_checkpoint, verify

__all__ = [
    "DELETED",
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
    "make_checkpoint",
    "read_checkpoint",
    "records",
    "verify",
]
