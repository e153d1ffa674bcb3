"""Makes the pictures of the dashboards: ``python -m include.demo.dashboards [--rounds N]``.

Starts the embedded stack, StatsD's exporter and Prometheus, uploads the demo's images in rounds,
with files that are refused, answers some forms, and draws the dashboards from what Prometheus has
collected (:mod:`include.stack.dashboards`).
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from include.demo.api import Api
from include.demo.run import IMAGES
from include.demo.stack import ROOT, Stack
from include.demo.verification import BUCKET
from include.servers.processes import StartError, wait_until
from include.servers.real.prometheus import Prometheus, StatsdExporter
from include.stack.dashboards import Window, draw_dashboards
from xray.airflow.config import CASE_DAG, RELEASE_DAG, REVIEW_DAG

OUT = ROOT / "docs" / "pictures"
HOME = ROOT / "out" / "dashboards"
"""The folder of the servers' data and logs."""
PATIENCE = 900.0
"""Seconds within which the cases of a round must end."""
RULES_SECONDS = 330.0
"""Seconds until the rules of the drift have seen all cases: they are evaluated every 5 minutes."""
ODD_FILES = 6
"""The files of a round beside the images."""
BOX = {"boxes": "0, 0, 500, 390"}
"""All of the letter."""
SETTINGS = {"review_unsure": True}
console = Console()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 once the pictures are drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="how often the images are uploaded")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of the pictures")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for path in make_pictures(options.rounds, options.out):
            console.print(path)
    except StartError as error:
        console.print(f"[red]{error}")
        return 1
    return 0


def make_pictures(rounds: int, out: Path) -> list[Path]:
    """Run everything, and return the paths of the pictures.

    Raises:
        StartError: a server did not start, or the cases do not end.
    """
    began = time.time()
    shutil.rmtree(HOME, ignore_errors=True)
    with StatsdExporter(HOME) as exporter, Prometheus(HOME, exporter) as prometheus:
        stack = Stack(
            home=HOME / "airflow", settings=SETTINGS, airflow_settings=metrics_settings(exporter)
        )
        with stack, stack.api() as api:
            for number in range(rounds):
                console.print(f"Round {number + 1} of {rounds} …")
                upload_round(stack, api, number)
                for _ in range(2):  # An image goes into quarantine after its review.
                    answer_forms(api, stack)
            for job in ("xray_reconcile", "xray_checkpoint"):
                start(api, job, {"bucket": BUCKET})
            console.print(f"Waiting {RULES_SECONDS / 60:.1f} minutes for the rules …")
            time.sleep(RULES_SECONDS)
            now = time.time()
            return draw_dashboards(prometheus.url, out, Window(began, now))


def metrics_settings(exporter: StatsdExporter) -> dict[str, str]:
    """Return the settings that make Airflow send its metrics to an exporter."""
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": str(exporter.statsd_port),
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
    }


def upload_round(stack: Stack, api: Api, number: int) -> None:
    """Upload all images of a round, and wait until their cases have ended or wait for a person."""
    images = [(path.name, path.read_bytes()) for path in sorted(IMAGES.rglob("*.jpeg"))]
    random.Random(number).shuffle(images)  # noqa: S311 - the order of a demo
    for name, data in [*images, *odd_files(images[0][1])]:
        stack.s3.put_object(Bucket=BUCKET, Key=f"round-{number}/{name}", Body=data)
    uploaded = (number + 1) * (len(images) + ODD_FILES)
    wait_until(
        lambda: len(ended(api, CASE_DAG)) >= uploaded,
        "the end of all cases",
        seconds=PATIENCE,
        children=stack.children,
    )


def odd_files(image: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield files that the reader or the model's gate refuses, or that go into quarantine."""
    chest = Image.open(io.BytesIO(image)).convert("L")
    yield "notes.txt", b"This is no image."
    yield "empty.jpeg", b""
    yield "cut-off.jpeg", image[: len(image) // 2]
    yield "thumbnail.png", _png(chest.resize((60, 40)))
    yield "turned.png", _png(chest.rotate(180))
    letter = Image.new("L", (500, 400), 20)
    for line in range(14):
        text = "Ada Ashgrove 1957-07-10 1234"
        ImageDraw.Draw(letter).text((4, 28 * line), text, 235, ImageFont.load_default(27))
    yield "letter.png", _png(letter)


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def ended(api: Api, dag_id: str) -> list[str]:
    """Return the ids of the runs of a DAG that have ended."""
    runs = api.all(f"/dags/{dag_id}/dagRuns", "dag_runs")
    return [run["dag_run_id"] for run in runs if run["state"] in ("success", "failed")]


def answer_forms(api: Api, stack: Stack) -> None:
    """Answer the forms of all cases but the newest of each kind, which go on waiting."""
    for dag_id, task_id, choices in (
        (REVIEW_DAG, "review", (("Pneumonia", {}), ("Pneumonia", {}), ("Keep Unsure", {}))),
        (RELEASE_DAG, "release", (("Mask and release", BOX), ("Keep in quarantine", {}))),
    ):
        runs = api.all(f"/dags/{dag_id}/dagRuns", "dag_runs")
        open_runs = [run["dag_run_id"] for run in runs if run["state"] in ("queued", "running")]
        for place, run_id in enumerate(open_runs[:-1]):
            answer(api, stack, dag_id, run_id, task_id, *choices[place % len(choices)])


def answer(
    api: Api,
    stack: Stack,
    dag_id: str,
    run_id: str,
    task_id: str,
    choice: str,
    entries: dict[str, str],
) -> None:
    """Answer a form, and wait until its run has ended."""
    task = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
    waits, children = {"seconds": PATIENCE}, stack.children
    wait_until(
        lambda: api.get(task)["state"] == "awaiting_input", "a form", children=children, **waits
    )
    api.patch(f"{task}/-1/hitlDetails", {"chosen_options": [choice], "params_input": entries})
    wait_until(
        lambda: run_id in ended(api, dag_id), "the end of a form", children=children, **waits
    )


def start(api: Api, dag_id: str, conf: dict[str, object]) -> None:
    """Start a run of a DAG."""
    api.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})


if __name__ == "__main__":
    sys.exit(main())
