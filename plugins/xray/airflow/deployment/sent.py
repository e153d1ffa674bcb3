"""A synthetic X-ray on its way: uploaded, announced, processed, published, and removed again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from xray import audit
from xray.airflow import api, config
from xray.airflow.api import ACTIVE_STATES, RunsClient
from xray.airflow.deployment import clients, stores
from xray.airflow.deployment.table import Answer, limit, problem, well
from xray.case import RUN_PREFIX, Buckets, Run, Source, Work
from xray.storage import ObjectStore

CHEST = Path(__file__).with_name("chest.jpeg")
"""A chest X-ray of nobody: one of the demo's synthetic images, without its text."""
FOLDER = "xray-check/"
"""The prefix of its key, which names nothing."""
PAUSE = 1.0
"""Seconds between two looks."""
WAITING = "waiting"


class Sent:
    """An image that was uploaded, and the case that it started."""

    def __init__(self, s3: Any, suffix: str) -> None:
        self._s3 = s3
        self._store = ObjectStore(s3)
        self._buckets = Buckets(config.bucket())
        self._keyring = config.keyring()
        self._key = f"{FOLDER}{uuid4().hex}{suffix}"
        self._started = time.monotonic()
        self._prefixes: list[str] = []
        self.run_id = ""

    @property
    def seconds(self) -> float:
        """The seconds since the upload."""
        return time.monotonic() - self._started

    @property
    def case_id(self) -> str:
        """The id of the case; empty before its run was found."""
        return self.run_id.removeprefix(RUN_PREFIX)

    def upload(self, image: bytes) -> None:
        """Upload the image.

        Raises:
            ObjectError, TransientError: the store refuses, or cannot answer now.
        """
        landing = self._buckets.landing
        self._started = time.monotonic()
        etag = self._store.put(landing, self._key, image, content_type="application/octet-stream")
        head = self._store.head(landing, self._key)
        source = Source(bucket=landing, key=self._key)
        # A store announces the version, the etag, or both.
        contents = ({"etag": etag}, {"version_id": head.version_id if head else None})
        self._prefixes = [
            RUN_PREFIX + Source(**{**source.to_json(), **content}).object_id(self._keyring)
            for content in contents
            if all(content.values())
        ]

    async def find_run(self, client: RunsClient) -> bool:
        """Look for the run of the case; return whether it is there."""
        for prefix in self._prefixes:
            found = await client.run_ids(config.CASE_DAG, run_id_prefix_pattern=prefix)
            if found:
                self.run_id = found[0]
        return bool(self.run_id)

    def records(self) -> list[dict[str, Any]]:
        """Return the audit records of the case, oldest first."""
        return list(audit.records(self._store, self._buckets.audit, self.case_id))

    def missing_outputs(self, outputs: list[dict[str, Any]]) -> int:
        """Return how many of the objects on record are not in the store."""
        return sum(self._store.head(one["bucket"], one["key"]) is None for one in outputs)

    def remove(self) -> dict[str, int]:
        """Delete the image, and what was made of it, as ``xray_forget`` does; return the counts."""
        from xray.airflow.jobs.forget import is_under_way
        from xray.case.forget import Deletion, forget_object

        stores.remove(self._s3, self._buckets.landing, self._key)
        name = f"xray-check-{self._key.removeprefix(FOLDER)[:8]}"
        work = Work(
            store=self._store,
            source=Source(bucket=self._buckets.landing, key=self._key),
            settings=config.settings(),
            keyring=self._keyring,
            run=Run(run_id=name, task="check", try_number=1, triggered_by=None, reran_by=None),
            token=name,
        )
        deletion = Deletion(
            reason="It was the image of a check of the deployment.",
            by=None,
            under_way=is_under_way,
        )
        cases = [self.case_id] if self.run_id else []
        return dict(forget_object(work, deletion, cases))


def answers(image: bytes, suffix: str, *, keep: bool, seconds: float) -> Iterator[Answer]:
    """Yield how far an image gets, with the time of each step.

    Args:
        image: the bytes of the image.
        suffix: the suffix of its file, with the dot.
        keep: whether to leave the image and its results where they are.
        seconds: how long the way may take.
    """
    sent = Sent(clients.s3_hook().get_conn(), suffix)
    sent.upload(image)
    try:
        yield well("image uploaded", f"To {config.bucket()}, under {FOLDER}.")
        yield from _way(sent, seconds)
    finally:
        counts = None if keep else sent.remove()
    yield _removal(counts, sent)


def _way(sent: Sent, seconds: float) -> Iterator[Answer]:
    """Yield the steps of the image until its result, or until one fails."""
    if not _until(sent, sent.find_run, seconds):
        yield problem(
            "image's run",
            f"No run has started within {seconds:.0f} s: the store has not announced the upload, "
            "or nobody listens. See announcements and consumer group above, and the log of "
            "listen_1.",
        )
        return
    yield well("image's run", f"{sent.run_id} started after {sent.seconds:.1f} s.")
    run: dict[str, Any] = {}

    async def ended(client: RunsClient) -> bool:
        path = f"/api/v2/dags/{config.CASE_DAG}/dagRuns/{sent.run_id}"
        run.update((await client.request("GET", path)).json())
        return run.get("state") not in ACTIVE_STATES

    if not _until(sent, ended, seconds):
        yield problem(
            "image's case",
            f"It is still {run.get('state')} after {seconds:.0f} s: see its tasks in the UI, and "
            "whether workers run.",
        )
    elif run.get("state") != "success":
        note = run.get("note") or "the logs of its tasks say why"
        yield problem("image's case", f"It failed after {sent.seconds:.1f} s: {note}")
    else:
        yield _result(sent)


def _result(sent: Sent) -> Answer:
    """Return what the case came to, from its audit record."""
    name, records = "image's result", sent.records()
    if not records:
        return limit(name, "The run has ended without a record: the case waits for a person.")
    last = records[-1]
    outputs = list(last.get("outputs") or ())
    missing = sent.missing_outputs(outputs)
    if missing:
        return problem(name, f"{missing} of {len(outputs)} objects on record are not in the store.")
    scored = last.get("scored") or {}
    risk = f"{scored['label']}, risk={scored['risk']:.2%}" if scored else "not scored"
    return well(
        name,
        f"After {sent.seconds:.1f} s: {risk}, {last.get('decision') or last.get('outcome')}; "
        f"{len(outputs)} objects, as recorded.",
    )


def _removal(counts: dict[str, int] | None, sent: Sent) -> Answer:
    """Return what is left of the image."""
    name = "image removed"
    if counts is None:
        return well(name, f"No, because of --keep. xray_forget removes it: case {sent.case_id}.")
    if counts.get("unknown"):
        return well(name, "Yes. Nothing was made of it.")
    if counts.get("forgotten"):
        return well(name, "Yes, with its results. Its run stays, and a record without its key.")
    return problem(
        name,
        f"Not all of it: delete it under {FOLDER} of {config.bucket()}, and run xray_forget with "
        f"the case {sent.case_id}.",
    )


def _until(sent: Sent, condition: Any, seconds: float) -> bool:
    """Look again until a condition holds; return whether it does in time."""

    async def look(client: RunsClient) -> bool:
        while not await condition(client):
            if sent.seconds > seconds:
                return False
            await asyncio.sleep(PAUSE)
        return True

    return api.call(look)
