"""The audit trail: records that are created once, chained, and never overwritten."""

from xray.audit.trail import FAILED, RELEASED, REVIEWED, SUCCEEDED, append, digest, records
from xray.audit.verification import SCHEMA_FILE, Problem, Verdict, verify

__all__ = [
    "FAILED",
    "RELEASED",
    "REVIEWED",
    "SCHEMA_FILE",
    "SUCCEEDED",
    "Problem",
    "Verdict",
    "append",
    "digest",
    "records",
    "verify",
]
