"""The audit trail: records that are created once, chained, and never overwritten."""

from xray.audit.trail import (
    FAILED,
    RELEASED,
    REVIEWED,
    SCHEMA_FILE,
    SUCCEEDED,
    Problem,
    Verdict,
    append,
    main,
    records,
    verify,
)

__all__ = [
    "FAILED",
    "RELEASED",
    "REVIEWED",
    "SCHEMA_FILE",
    "SUCCEEDED",
    "Problem",
    "Verdict",
    "append",
    "main",
    "records",
    "verify",
]
