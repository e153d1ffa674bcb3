"""A case: one version of one object, from its source to its published results."""

from xray.case.buckets import Buckets
from xray.case.source import RESTARTING_SEQUENCERS, RUN_PREFIX, Source
from xray.case.values import Outcome, Pinned, Scored, Staged

__all__ = [
    "RESTARTING_SEQUENCERS",
    "RUN_PREFIX",
    "Buckets",
    "Outcome",
    "Pinned",
    "Scored",
    "Source",
    "Staged",
]
