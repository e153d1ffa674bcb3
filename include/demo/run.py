"""The demo: ``make demo``, or ``python -m include.demo.run``; ``--help`` lists the options.

Starts the embedded stack, uploads chest X-rays, shows the progress of the cases, and verifies each
of them. Writes ``report.json``, ``contact-sheet.png`` and a copy of the audit trail.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.live import Live

from include.demo.api import Api
from include.demo.contact_sheet import Row, draw_contact_sheet
from include.demo.names import names_in_database
from include.demo.stack import HOME, ROOT, Stack
from include.demo.table import case_table
from include.demo.verification import (
    BUCKET,
    Case,
    Expected,
    expected_results,
    unexpected_objects,
    verify_case,
)
from include.servers.processes import Child, StartError, wait_until
from xray import audit
from xray.airflow.config import CASE_DAG
from xray.case import RUN_PREFIX, Buckets, Source
from xray.errors import XrayError
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.storage import ObjectStore

if TYPE_CHECKING:
    from include.demo.pacs import DemoPacs

IMAGES = Path(__file__).resolve().parent / "images"
OUT = ROOT / "out" / "demo"
PATIENCE = 300.0
"""Seconds without progress of any case after which the demo gives up."""
POLL_SECONDS = 1.0
"""Seconds between two looks at Airflow, whose API server has the cases to serve, too."""
console = Console()


class WatchedStack(Protocol):
    """A stack whose cases can be watched: the embedded one, or that of Docker Compose."""

    s3: Any

    @property
    def keyring(self) -> Keyring:
        """The secrets that the object keys in the runs are sealed with."""

    @property
    def children(self) -> Sequence[Child]:
        """The processes that must run until all cases have ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if every case came out right."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    expected = expected_results(options.images, Settings())
    if not expected:
        console.print(f"[red]There are no files in {options.images}.")
        return 2
    began = time.monotonic()
    console.print("Starting a broker, an object store and Airflow …")
    try:
        with _stack(options) as (stack, pacs):
            login = _login(stack, pacs)
            console.print(f"Ready after {time.monotonic() - began:.0f} s.")
            console.print(login, soft_wrap=True)
            right = run_cases(stack, expected, options, pacs)
            if not options.once:
                console.print(login, "Press Ctrl-C to stop.", soft_wrap=True)
                signal.pause()
    except StartError as error:
        console.print(f"[red]{error}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
    return 0 if right else 1


@contextmanager
def _stack(options: argparse.Namespace) -> Iterator[tuple[Stack, DemoPacs | None]]:
    """Start the stack, and the PACS if there is to be one."""
    with ExitStack() as started:
        pacs = None
        if options.pacs:
            # The image of the local stack has this module, and no servers.
            from include.demo.pacs import running_pacs

            pacs = started.enter_context(running_pacs())
        options_of_pacs = pacs.options if pacs else {}
        yield started.enter_context(Stack(notify=not options.backfill, **options_of_pacs)), pacs


def run_cases(
    stack: Stack,
    expected: Sequence[Expected],
    options: argparse.Namespace,
    pacs: DemoPacs | None = None,
) -> bool:
    """Upload, watch, verify and report the cases; return whether all came out right."""
    with stack.api() as api:
        uploaded = upload(stack, expected)
        if options.backfill:
            backfill(api, stack)
        cases = watch(stack, api, uploaded)
    settings, store = Settings.from_mapping(stack.settings), ObjectStore(stack.s3)
    wrong = {case.key: verify_case(case, store, settings) for case in cases}
    write_report(cases, options.out)
    verdict = verify_audit(store, options.out / "audit", stack.keyring.secrets)
    extra = unexpected_objects(cases, store) + [f"{p.name} {p.reason}" for p in verdict.problems]
    extra += named_in_airflow(stack, cases)
    received, missing = pacs.verify(cases) if pacs else (None, [])
    extra += missing
    draw_sheet(stack, cases, options.out / "contact-sheet.png")
    if received:
        console.print(received)
    return print_summary(cases, wrong, extra, verdict, options.out)


def upload(stack: Stack, expected: Sequence[Expected]) -> list[Case]:
    """Upload every file to the input bucket."""
    cases = []
    for one in expected:
        stack.s3.put_object(Bucket=BUCKET, Key=one.key, Body=one.path.read_bytes())
        cases.append(Case(expected=one, uploaded=time.time()))
    return cases


def backfill(api: Api, stack: Stack) -> None:
    """Start a backfill of the whole bucket, and wait until it has ended."""
    body = {"logical_date": None, "conf": {"bucket": BUCKET, "prefix": ""}}
    run = api.post("/dags/xray_backfill/dagRuns", body)
    path = f"/dags/xray_backfill/dagRuns/{run['dag_run_id']}"
    wait_until(
        lambda: api.get(path)["state"] in ("success", "failed"),
        "the end of the backfill",
        seconds=PATIENCE,
        children=stack.children,
    )
    state = api.get(path)["state"]
    console.print(f"Backfill of {BUCKET}: {state}.")


def watch(stack: WatchedStack, api: Api, cases: list[Case]) -> list[Case]:
    """Show the cases until all have ended, or none makes progress for :data:`PATIENCE` seconds."""
    store, buckets = ObjectStore(stack.s3), Buckets(BUCKET)
    changed, before = time.monotonic(), None
    with Live(case_table(cases, console.width), console=console, refresh_per_second=8) as live:
        while True:
            for child in stack.children:
                child.check()
            refresh(api, cases, stack.keyring)
            for case in cases:
                if case.ended and not case.records:
                    case.records = audit.records(store, buckets.audit, case.case_id)
            live.update(case_table(cases, console.width))
            now = [(case.state, case.step) for case in cases]
            if now != before:
                changed, before = time.monotonic(), now
            if all(case.ended for case in cases) or time.monotonic() - changed > PATIENCE:
                return cases
            time.sleep(POLL_SECONDS)


def refresh(api: Api, cases: Sequence[Case], keyring: Keyring) -> None:
    """Update the state of each case from Airflow."""
    found = api.all(f"/dags/{CASE_DAG}/dagRuns", "dag_runs")
    runs = {object_key(run["conf"], keyring): run for run in found}
    tasks = api.all(f"/dags/{CASE_DAG}/dagRuns/~/taskInstances", "task_instances", state="running")
    steps = {task["dag_run_id"]: task["task_id"] for task in tasks}
    for case in cases:
        if run := runs.get(case.key):
            case.update(run, steps.get(run["dag_run_id"], ""), RUN_PREFIX)


def object_key(conf: dict[str, Any], keyring: Keyring) -> str | None:
    """Return the object key in the conf of a run; None if a person has started it without one."""
    with suppress(XrayError):
        return Source.from_conf(conf, keyring).key
    return None


def write_report(cases: Sequence[Case], out: Path) -> None:
    """Write ``report.json``: the result of every file."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [case.report() for case in cases]
    (out / "report.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")


def verify_audit(store: ObjectStore, folder: Path, secrets: Sequence[str]) -> audit.Verdict:
    """Copy the audit trail to ``folder``, and verify its chain and its seals."""
    shutil.rmtree(folder, ignore_errors=True)
    records = []
    bucket = Buckets(BUCKET).audit
    for entry in store.list(bucket):
        path = folder / entry.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(bucket, entry.key).data)
        records.append((entry.key, path.read_bytes()))
    return audit.verify(records, secrets)


def named_in_airflow(stack: Stack, cases: Sequence[Case]) -> list[str]:
    """Return which tables of Airflow's database name a patient of the cases."""
    assert stack.database is not None
    return names_in_database(
        [case.key for case in cases],
        [RUN_PREFIX + case.case_id for case in cases if case.case_id],
        stack.database.url,
        stack.env["AIRFLOW__CORE__FERNET_KEY"],
    )


def draw_sheet(stack: Stack, cases: Sequence[Case], path: Path) -> None:
    """Draw ``contact-sheet.png``: the images of every case side by side."""

    def read(output: dict[str, Any] | None) -> bytes | None:
        if output is None:
            return None
        body: bytes = stack.s3.get_object(Bucket=output["bucket"], Key=output["key"])["Body"].read()
        return body

    buckets = Buckets(BUCKET)
    rows = [
        Row(
            original=case.expected.path.read_bytes(),
            annotated=read(case.output(buckets.processed)),
            anonymized=read(case.output(buckets.anonymized)),
            label=case.label or "",
            caption=case.caption(),
        )
        for case in cases
    ]
    draw_contact_sheet(rows, path)


def print_summary(
    cases: Sequence[Case],
    wrong: dict[str, list[str]],
    extra: Sequence[str],
    verdict: audit.Verdict,
    out: Path,
) -> bool:
    """Print the summary; return whether everything is right."""
    problems = [f"{key}: {reason}" for key, reasons in wrong.items() for reason in reasons]
    problems += extra
    console.print()
    for problem in problems:
        console.print(f"[red]{problem}", highlight=False)
    succeeded = sum(case.state == "success" for case in cases)
    refused = sum(case.state == "failed" for case in cases)
    right = sum(not reasons for reasons in wrong.values())
    ends = [case.finished for case in cases if case.finished]
    span = max(ends) - min(case.uploaded for case in cases) if ends else 0.0
    console.print(
        f"{right} of {len(cases)} cases came out right: {succeeded} succeeded, {refused} failed, "
        f"{span:.0f} s from the first upload to the last result.",
        style="green" if not problems else "red",
        soft_wrap=True,
    )
    console.print(
        f"{verdict.records} audit records of {verdict.cases} cases"
        + (" do not all verify." if verdict.problems else " verify."),
        style="red" if verdict.problems else "green",
    )
    for name in ("report.json", "contact-sheet.png", "audit/"):
        path = out / name
        console.print(f"  {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    if problems:
        console.print(f"  Logs: {(HOME / 'logs').relative_to(ROOT)}")
    return not problems


def _login(stack: Stack, pacs: DemoPacs | None) -> str:
    lines = [
        f"Cases:   [bold]{stack.url}/plugin/cases[/]",
        f"Airflow: [bold]{stack.url}[/], user {stack.user}, password {stack.password}",
    ]
    if pacs:
        lines.append(pacs.login)
    return "\n".join(lines)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="end once all cases have ended")
    parser.add_argument("--images", type=Path, default=IMAGES, help="a folder of your own")
    parser.add_argument(
        "--backfill",
        action="store_true",
        help="start the cases by a backfill, without notifications",
    )
    parser.add_argument(
        "--pacs",
        action="store_true",
        help="start a PACS (Orthanc), which gets the results of DICOM images",
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the folder of the report and the contact sheet"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
