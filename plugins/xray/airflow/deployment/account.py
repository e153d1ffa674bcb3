"""Airflow's API: its parts, the account of the connection ``xray_api``, its rights, the DAGs.

A right is tried with a request that cannot do anything: Airflow looks at the right first, and
then refuses a run without a date (422) or finds no run of that id (404). Airflow's audit log
keeps the refused starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from xray.airflow import config, connections
from xray.airflow.api import RunsClient
from xray.airflow.deployment.table import Answer, limit, problem, unknown, well
from xray.case import Source
from xray.errors import PermanentError, XrayError

if TYPE_CHECKING:
    from httpx import Response

LISTENER_DAG = "xray_listener"
NO_RUN = "xray-check"
"""The id of no run."""
PARTS = {
    "metadatabase": "the metadata database",
    "scheduler": "the scheduler",
    "triggerer": "the triggerer, which runs the listener",
    "dag_processor": "the DAG processor",
}
"""The parts of Airflow whose health the API reports."""
NEEDED_DAGS = (LISTENER_DAG, config.CASE_DAG, config.REVIEW_DAG, config.RELEASE_DAG)
"""The DAGs without which cases do not start or end, and so must not be paused."""
OTHER_DAGS = (
    config.FORGET_DAG,
    "xray_replay",
    "xray_backfill",
    config.RECONCILE_DAG,
    "xray_checkpoint",
    "xray_watch",
)
"""The DAGs that a person or a schedule starts."""
STARTED_DAGS = (config.CASE_DAG, config.REVIEW_DAG, config.RELEASE_DAG)
"""The DAGs whose runs the account starts, reads and changes."""


async def answers(client: RunsClient) -> AsyncIterator[Answer]:
    """Yield what the account may do, and whether the DAGs are there.

    Args:
        client: the account of the connection ``xray_api``.
    """
    try:
        await client.request("GET", f"/api/v2/dags/{LISTENER_DAG}")
    except XrayError as error:
        yield problem("account", str(error))
        return
    yield well("account", f"The account of {connections.API_CONNECTION} can log in.")
    for dag_id in NEEDED_DAGS:
        yield await dag_answer(client, dag_id, needed=True)
    followed = _follows_deletions()
    for dag_id in OTHER_DAGS:
        yield await dag_answer(client, dag_id, needed=followed and dag_id == config.FORGET_DAG)
    yield await import_errors_answer(client)
    for dag_id in (*STARTED_DAGS, *((config.FORGET_DAG,) if followed else ())):
        yield await rights_answer(client, dag_id)
    yield await reconcile_answer(client)
    yield await log_answer(client)
    yield await kept_secret_answer(client)


def _follows_deletions() -> bool:
    try:
        return config.settings().follow_deletions
    except (XrayError, ValueError):
        return False


def health_answer(parts: Mapping[str, Any], url: str) -> Answer:
    """Return whether the parts of Airflow are healthy.

    Args:
        parts: what the API says of each part; empty if it does not answer.
        url: the address of the API.
    """
    name = "Airflow"
    if not parts:
        return problem(
            name,
            f"Its API does not answer at {url}: check the host and port of the connection "
            f"{connections.API_CONNECTION}, and that the API server runs.",
        )
    ill = [
        text for part, text in PARTS.items() if (parts.get(part) or {}).get("status") != "healthy"
    ]
    if ill:
        return problem(name, f"Not healthy: {', '.join(ill)}. Start it, and read its log.")
    return well(name, "The scheduler, the triggerer and the DAG processor are healthy.")


async def dag_answer(client: RunsClient, dag_id: str, *, needed: bool) -> Answer:
    """Return whether a DAG is there, has no import error, and is not paused.

    Args:
        client: the account.
        dag_id: the DAG.
        needed: whether nothing works while it is paused.
    """
    name = f"DAG {dag_id}"
    response = await client.request("GET", f"/api/v2/dags/{dag_id}")
    match response.status_code:
        case 200:
            dag: dict[str, Any] = response.json()
        case 404:
            return problem(
                name,
                f"Airflow does not know it: check that dags/{dag_id}.py is in its DAGs folder, "
                "and that the DAG processor runs.",
            )
        case 403 if dag_id not in NEEDED_DAGS:
            return unknown(name, "The account may not read it, and need not. Look at the UI.")
        case 403:
            return problem(
                name,
                f"The account of {connections.API_CONNECTION} may not read it: give it the right "
                f"to read the DAG {dag_id}.",
            )
        case status:
            return unknown(name, f"Airflow's API does not say (HTTP {status}).")
    if dag.get("has_import_errors"):
        return problem(name, "Its file has an import error, which the UI shows: fix it.")
    if dag.get("is_stale"):
        return problem(name, f"Its file dags/{dag_id}.py is gone: put it back.")
    if dag.get("is_paused"):
        if needed:
            return problem(name, "It is paused: unpause it.")
        return limit(name, "It is paused: its runs wait until it is unpaused.")
    return well(name, "It is there, and not paused.")


async def import_errors_answer(client: RunsClient) -> Answer:
    """Return whether a DAG file of the pipeline has an import error."""
    name = "import errors"
    response = await client.request("GET", "/api/v2/importErrors?limit=100")
    if response.status_code != 200:
        return unknown(name, "The account may not read them, and need not. Look at the UI.")
    found = response.json()["import_errors"]
    files = {str(one.get("filename", "")).rpartition("/")[2] for one in found}
    ours = sorted(file for file in files if file.startswith("xray_"))
    if ours:
        return problem(name, f"{', '.join(ours)} cannot be imported: the UI shows why. Fix it.")
    return well(name, "No file of the pipeline has one.")


async def rights_answer(client: RunsClient, dag_id: str) -> Answer:
    """Return whether the account may start runs of a DAG, list them, and change them."""
    runs = f"/api/v2/dags/{dag_id}/dagRuns"
    asked = {
        "start runs": await _start(client, dag_id),
        "list runs": await client.request("GET", f"{runs}?limit=1"),
        "change runs": await client.request("POST", f"{runs}/{NO_RUN}/clear", {"dry_run": True}),
        "read tasks": await client.request("GET", f"{runs}/~/taskInstances?limit=1"),
    }
    name = f"rights on {dag_id}"
    refused = [right for right, response in asked.items() if response.status_code == 403]
    if refused:
        return problem(
            name,
            f"The account of {connections.API_CONNECTION} may not {', '.join(refused)} of "
            f"{dag_id}: give it that right (docs/notifications.md says how).",
        )
    failing = [right for right, response in asked.items() if response.status_code >= 500]
    if failing or asked["start runs"].status_code != 422:
        return unknown(name, "Airflow's API gives no clear answer.")
    return well(name, f"The account may {', '.join(asked)}. No run was started.")


async def _start(client: RunsClient, dag_id: str) -> Response:
    """Return the refusal of a run without a date: 422 if the account may start runs."""
    return await client.request("POST", f"/api/v2/dags/{dag_id}/dagRuns", {})


async def reconcile_answer(client: RunsClient) -> Answer:
    """Return whether the listener may start the search for images whose messages are gone."""
    name, dag_id = f"rights on {config.RECONCILE_DAG}", config.RECONCILE_DAG
    match (await _start(client, dag_id)).status_code:
        case 422:
            return well(name, "The account may start runs. No run was started.")
        case 403:
            return limit(
                name,
                "The account may not start runs: after Kafka has removed messages that were not "
                f"read, start {dag_id} by hand, or give it that right.",
            )
        case status:
            return unknown(name, f"Airflow's API does not say (HTTP {status}).")


async def log_answer(client: RunsClient) -> Answer:
    """Return whether the account may read Airflow's audit log."""
    name = "right on Airflow's audit log"
    response = await client.request("GET", "/api/v2/eventLogs?limit=1")
    if response.status_code == 403:
        return limit(
            name,
            "The account may not read it: audit records do not say who ran a case again. Give it "
            "that right.",
        )
    if response.status_code != 200:
        return unknown(name, f"Airflow's API does not say (HTTP {response.status_code}).")
    return well(name, "The account may read it.")


async def kept_secret_answer(client: RunsClient) -> Answer:
    """Return whether the secret still opens the oldest and the newest run."""
    name = "secret kept"
    try:
        keyring = config.keyring()
    except XrayError:
        return unknown(name, "There is no valid secret to compare.")
    compared = 0
    for order in ("id", "-id"):
        path = f"/api/v2/dags/{config.CASE_DAG}/dagRuns?limit=1&order_by={order}"
        response = await client.request("GET", path)
        runs = response.json()["dag_runs"] if response.status_code == 200 else []
        for run in runs:
            if not (run.get("conf") or {}).get("sealed"):
                continue
            try:
                Source.from_conf(run["conf"], keyring)
            except PermanentError:
                return problem(
                    name,
                    "A run was started under another secret: add that secret to the end of the "
                    f"list in {config.SECRET_VARIABLE} (docs/anonymisation.md, Change the secret).",
                )
            compared += 1
    if not compared:
        return unknown(name, "There is no run yet to compare the secret with.")
    return well(name, "It opens the oldest and the newest run.")
