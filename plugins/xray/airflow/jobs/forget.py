"""Delete what was made of objects whose originals are gone: of one object, or of a patient's."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import get_current_context, task

from xray.airflow import api, config, connections, forms
from xray.airflow.api import ACTIVE_STATES, RunsClient
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.unexpected import without_messages
from xray.case import Buckets, Run, Source, Work, lookup
from xray.case.forget import (
    NO_TRAIL_ERASED,
    ORIGINAL_THERE,
    VERSIONS_KEPT,
    Deletion,
    forget_object,
)
from xray.errors import ForbiddenError, PermanentError, SettingsError, XrayError
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.storage import ObjectStore

log = logging.getLogger(__name__)

JSON = dict[str, Any]

SELECTORS = ("case_id", "patient", "sealed", "key")
"""The params that say what to forget. A run has one of them."""
DAGS = (config.CASE_DAG, config.REVIEW_DAG, config.RELEASE_DAG)
"""The DAGs whose runs may hold a claim on an object."""
REMOVED = "The store has announced that the original was deleted."
REQUESTED = "Somebody has asked for the deletion."
SENTENCES = {
    ORIGINAL_THERE: "Originals that are still there: {}. Delete them first, and run xray_forget "
    "again.",
    "under_way": "Attempts under way: {}. They end without a result; run xray_forget again after "
    "that to be sure.",
    NO_TRAIL_ERASED: "Audit trails that name the object still, because the store forbids to delete "
    "them: {}. See docs/deletion.md.",
    VERSIONS_KEPT: "Deleted objects whose old versions the store keeps: {}. Delete those as well: "
    "see docs/deletion.md.",
    "failed": "Objects that could not be forgotten: {}. The task's log says why.",
    "unknown": "Objects without a trace: {}.",
}
"""What a counter means for the person who has asked, by its name."""


def select(
    store: ObjectStore, keyring: Keyring, settings: Settings, params: Mapping[str, Any]
) -> list[Source]:
    """Return the objects that the params select.

    Raises:
        SettingsError: the params select nothing, or in two ways.
        PermanentError: the sealed object key was changed.
    """
    given = [name for name in SELECTORS if params.get(name)]
    if len(given) != 1:
        raise SettingsError(
            f"One of {', '.join(SELECTORS)} must be set, not {' and '.join(given) or 'none'}."
        )
    buckets = Buckets(str(params["bucket"]))
    if patient := params.get("patient"):
        pattern = settings.patient_pattern
        folder = str(patient).strip().strip("/")
        keys = lookup.keys_of_patient(store, buckets, keyring, folder, pattern)
    elif case_id := params.get("case_id"):
        key = lookup.key_of_case(store, buckets, keyring, str(case_id).strip())
        keys = [] if key is None else [key]
    else:
        return [Source.from_conf(params, keyring)]
    return [Source(bucket=buckets.landing, key=key) for key in keys]


def run_forget(
    context: Mapping[str, Any], under_way: Callable[[str], bool]
) -> tuple[JSON, list[str], XrayError | None]:
    """Delete what the params of a run select.

    An object that cannot be forgotten keeps no other one from it.

    Returns:
        The counts, the hashes by which the index knows the forgotten objects, and the first
        failure; None if there was none.

    Raises:
        SettingsError: a Variable is missing, or the params are wrong.
        TransientError: the store or Airflow's API does not answer.
    """
    params, ti = context["params"], context["ti"]
    store, keyring, settings = connections.object_store(), config.keyring(), config.settings()
    user = getattr(context["dag_run"], "triggering_user_name", None)
    followed = bool(params.get("sealed"))
    deletion = Deletion(
        reason=REMOVED if followed else REQUESTED,
        by=None if followed else user,
        dry_run=bool(params.get("dry_run")),
        under_way=under_way,
    )
    run = Run(
        run_id=ti.run_id,
        task=ti.task_id,
        try_number=ti.try_number,
        triggered_by=user,
        reran_by=None,
    )
    counts: Counter[str] = Counter(objects=0)
    forgotten: list[str] = []
    failure: XrayError | None = None
    for source in select(store, keyring, settings, params):
        work = Work(
            store=store,
            source=source,
            settings=settings,
            keyring=keyring,
            run=run,
            token=f"{ti.run_id}:{ti.task_id}:{ti.max_tries}",
            close_form=forms.close,
        )
        counts["objects"] += 1
        try:
            done = forget_object(work, deletion)
            counts.update(done)
            if done["forgotten"] and not deletion.dry_run:
                forgotten.append(source.index_hashes(keyring, settings.patient_pattern)["object"])
        except (PermanentError, ForbiddenError) as error:
            counts["failed"] += 1
            failure = failure or error
    return dict(counts), forgotten, failure


def describe(counts: Mapping[str, int], *, dry_run: bool) -> str:
    """Return the note of a run: what was done, and what is left to do. It names no one."""
    verb = "Objects to forget" if dry_run else "Objects forgotten"
    parts = [f"{verb}: {counts.get('forgotten', 0)} of {counts['objects']}."]
    parts += [text.format(counts[name]) for name, text in SENTENCES.items() if counts.get(name)]
    return " ".join(parts)


def is_under_way(run_id: str) -> bool:
    """Return whether a run that may hold a claim on an object has not ended.

    Raises:
        TransientError: Airflow's API does not answer.
    """

    async def count(client: RunsClient) -> int:
        counts = [
            await client.count(dag_id, run_id_prefix_pattern=run_id, state=ACTIVE_STATES)
            for dag_id in DAGS
        ]
        return sum(counts)

    return api.call(count) > 0


@task
@without_messages()
@tells_if_blocked()
def forget() -> JSON:
    """Delete what was made of the selected objects; return the counts."""
    context = get_current_context()
    counts, forgotten, failure = run_forget(context, is_under_way)
    context["ti"].xcom_push(key=config.FORGOTTEN, value=forgotten)
    note = describe(counts, dry_run=bool(context["params"].get("dry_run")))
    log.info("%s", note)
    api.set_note(context["ti"].run_id, note, config.FORGET_DAG)
    if failure:
        raise failure
    return counts
