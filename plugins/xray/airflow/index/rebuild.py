"""The command ``python -m xray index``: makes the index again, from the audit trail.

The rows of cases that are under way are written when the state of their run changes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, TextIO

from xray import audit
from xray.airflow import config, connections
from xray.airflow.deployment import clients
from xray.airflow.index import queries
from xray.airflow.index.rows import Row, added
from xray.airflow.index.table import NAMELESS, State, write
from xray.case import RUN_PREFIX, Buckets, Decision, Source
from xray.case.manifest import REVIEW, WAITING_PREFIX, Manifest, ManifestFile
from xray.case.requests import read_marker, waits
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.storage import ObjectStore
from xray.times import time_of

SUCCEEDED = 0
BATCH = 500
"""Rows in one transaction."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
        SettingsError: the secret is missing.
        SystemExit: with 2 for a wrong call.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xray index",
        description="Make the index of the cases again, from the audit trail and the manifests. "
        "Run it where Airflow's API server or scheduler runs: it needs Airflow's database.",
    )
    parser.add_argument("--bucket", default=config.bucket(), help="the bucket of the images")
    options = parser.parse_args(arguments)
    with clients.plain_shell(sys.stdout) as stream:
        count = _rebuild(Buckets(options.bucket), stream)
        stream.write(f"{count:,} cases of {options.bucket} are in the index.\n")
    return SUCCEEDED


def _rebuild(buckets: Buckets, stream: TextIO) -> int:
    """Write all rows, a batch in each transaction, and return their number."""
    rows, count = found(connections.object_store(), buckets, config.keyring()), 0
    while batch := list(islice(rows, BATCH)):
        with queries.database() as connection:
            for case_id, values, new in batch:
                write(connection, case_id, values, new=new)
        count += len(batch)
        if len(batch) == BATCH:
            stream.write(f"{count:,} cases …\n")
            stream.flush()
    return count


def found(store: ObjectStore, buckets: Buckets, keyring: Keyring) -> Iterator[tuple[str, Row, Row]]:
    """Yield the id of each case, the values of its row, and those of a row that is added.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    folders = groupby(entry.key.partition("/")[0] for entry in store.list(buckets.audit))
    for case_id, _ in folders:
        trail = audit.records(store, buckets.audit, case_id, keyring.secrets)
        if ended := _ended(case_id, trail, store, buckets, keyring):
            yield ended
    for entry in store.list(buckets.manifests, f"{WAITING_PREFIX}{REVIEW}/"):
        waiting = read_marker(store, buckets, entry.key)
        if waits(store, buckets, waiting):
            pinned, scored = waiting.pinned, waiting.scored
            settings = Settings.from_mapping(pinned.settings)
            values = {
                **_scored(scored.to_json(), settings),
                **waiting.source.index_hashes(keyring, settings.patient_pattern),
                "state": State.WAITING.value,
                "waits": REVIEW,
            }
            case_id = waiting.request.case_id
            received = time_of(waiting.request.since)
            yield case_id, values, added(case_id, None, waiting.source.to_json(), received)


def _ended(
    case_id: str,
    trail: Sequence[Mapping[str, Any]],
    store: ObjectStore,
    buckets: Buckets,
    keyring: Keyring,
) -> tuple[str, Row, Row] | None:
    """Return the row of a case that has ended once; None if its trail has no end."""
    last = next((one for one in reversed(trail) if one["outcome"] in audit.ENDS), None)
    if last is None:
        return None
    first, source = (
        trail[0],
        Source.from_json({**last["source"], "key": last["source"]["key"] or ""}),
    )
    failed = last["outcome"] == audit.FAILED
    values = {
        "state": (State.FAILED if failed else State.FINISHED).value,
        "ended": time_of(last["recorded_at"]),
        "attempt": last["attempt"],
        "waits": None,
        "replaced": not failed,
    }
    if last["outcome"] == audit.DELETED:
        values |= {**NAMELESS, "decision": Decision.DELETED.value}
    elif source.key:
        manifest, _ = ManifestFile(store, buckets.manifests, source.key).read()
        values |= _live(case_id, trail, source, manifest, keyring)
        values["replaced"] = manifest.case_id != case_id and not failed
    # The closest to the receipt that is on record: the upload may have been years before.
    received = time_of(first["recorded_at"])
    run_id = str(first["run"]["run_id"])
    of_case = None if run_id.startswith(RUN_PREFIX) else run_id
    return case_id, values, added(case_id, of_case, source.to_json(), received)


def _live(
    case_id: str,
    trail: Sequence[Mapping[str, Any]],
    source: Source,
    manifest: Manifest,
    keyring: Keyring,
) -> Row:
    """Return what the trail and the manifest say of a case whose object is known."""
    latest = {name: one[name] for one in trail for name in ("scored", "decision") if name in one}
    settings = Settings.from_mapping(trail[-1]["settings"] or {})
    asked = manifest.waiting if manifest.waiting and manifest.waiting.case_id == case_id else None
    values: Row = {
        **source.index_hashes(keyring, settings.patient_pattern),
        "decision": latest.get("decision"),
        "waits": asked.kind if asked else None,
    }
    if "scored" in latest:
        values |= _scored(latest["scored"], settings)
    return values


def _scored(scored: Mapping[str, Any], settings: Settings) -> Row:
    return {
        "label": scored["label"],
        "risk": settings.rounded(scored["risk"]),
        "refused": scored.get("refused"),
        "model": scored["model"],
    }
