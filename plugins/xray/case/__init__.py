"""A case: one version of one object, from its source to its published results.

The steps of a case are plain functions over a store, in modules of their own
(``ending``, ``publish``, ``quarantine``, ``review``, ``steps`` and others). They are
imported by module, and import what they need for pixels where they need it.
"""

from xray.case import (
    ending,
    forget,
    known,
    lookup,
    manifest,
    pictures,
    publish,
    quarantine,
    requests,
    review,
    steps,
)
from xray.case.buckets import Buckets
from xray.case.handover import hand_over, seal_result, take_over
from xray.case.source import (
    RESTARTING_SEQUENCERS,
    RUN_PREFIX,
    Source,
    patient_hash,
    seal_prefix,
    unseal_prefix,
)
from xray.case.values import SOURCE_ETAG, Decision, Outcome, Pinned, Scored, Staged
from xray.case.work import Run, Work

__all__ = [
    "RESTARTING_SEQUENCERS",
    "RUN_PREFIX",
    "SOURCE_ETAG",
    "Buckets",
    "Decision",
    "Outcome",
    "Pinned",
    "Run",
    "Scored",
    "Source",
    "Staged",
    "Work",
    "ending",
    "forget",
    "hand_over",
    "known",
    "lookup",
    "manifest",
    "patient_hash",
    "pictures",
    "publish",
    "quarantine",
    "requests",
    "review",
    "seal_prefix",
    "seal_result",
    "steps",
    "take_over",
    "unseal_prefix",
]
