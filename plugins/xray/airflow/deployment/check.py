"""The command ``python -m xray check``: what a deployment lacks, and what to do about it.

Nothing is left behind without ``--send``: objects that try a bucket are removed, and no run is
started.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xray.airflow import connections
from xray.airflow.api import RunsClient
from xray.airflow.deployment import account, clients, configured, sent, stores, topics
from xray.airflow.deployment.clients import Kafka
from xray.airflow.deployment.table import Answer, Mark, Table, guarded, unknown

if TYPE_CHECKING:
    from airflow.sdk import Connection

SUCCEEDED, FAILED = 0, 1
PATIENCE = 300.0
"""Seconds that the way of an image may take, by default."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if all is well, 1 if something has to be done.

    Args:
        arguments: of the command; those of the process if None.

    Raises:
        SystemExit: with 2 for a wrong call.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xray check",
        description="Check the connections, the secret, the settings, the model, the PACS, the "
        "buckets, the topics, the account of Airflow's API and the DAGs. Run it where Airflow is "
        "configured, in the environment of a scheduler or worker.",
    )
    parser.add_argument(
        "--send",
        action="store_true",
        help="also upload a synthetic X-ray, follow it to its result, and remove what it made",
    )
    parser.add_argument(
        "--image", metavar="FILE", type=Path, help="with --send: upload this file instead"
    )
    parser.add_argument("--keep", action="store_true", help="with --send: remove nothing")
    parser.add_argument(
        "--seconds",
        type=float,
        default=PATIENCE,
        help=f"with --send: how long the way may take; {PATIENCE:.0f} by default",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if (options.image or options.keep) and not options.send:
        parser.error("--image and --keep need --send")
    image = _image(parser, options.image)
    with clients.plain_shell(sys.stdout) as stream:
        table = Table(stream, as_json=options.json)
        for answer in _answers(table):
            table.add(answer)
        if options.send:
            for answer in guarded("image", lambda: _sent(table, image, options)):
                table.add(answer)
        table.finish()
    return SUCCEEDED if table.is_well else FAILED


def _image(parser: argparse.ArgumentParser, path: Path | None) -> tuple[bytes, str]:
    """Return the image to upload, and the suffix of its file."""
    try:
        return (path or sent.CHEST).read_bytes(), (path or sent.CHEST).suffix
    except OSError as error:
        parser.error(f"{path} cannot be read: {error.strerror}")


def _sent(table: Table, image: tuple[bytes, str], options: argparse.Namespace) -> Iterator[Answer]:
    """Yield how far an image gets, if there is what it needs."""
    needed = {"secret", "settings", *(f"connection {name}" for name in configured.TYPES)}
    lacking = [one.name for one in table.answers if one.mark is Mark.PROBLEM and one.name in needed]
    if lacking:
        yield unknown("image", f"Not sent, because of: {', '.join(lacking)}.")
    else:
        yield from sent.answers(*image, keep=options.keep, seconds=options.seconds)


def _answers(table: Table) -> Iterator[Answer]:
    """Yield the answers about the whole deployment."""
    usable: dict[str, Connection] = {}
    for name in configured.TYPES:
        connection = configured.find_connection(name)
        if connection is not None:
            table.hide(clients.secrets_of(connection))
        answer = configured.connection_answer(name, connection)
        if connection is not None and answer.mark is Mark.WELL:
            usable[name] = connection
        yield answer
    table.hide(configured.secrets())
    yield from guarded("secret", lambda: [configured.secret_answer()])
    yield from guarded("settings", configured.settings_answers)
    yield from guarded("model", configured.model_answers)
    yield from guarded("PACS", configured.pacs_answers)
    if connections.S3_CONNECTION in usable:
        yield from guarded("store", lambda: stores.answers(clients.s3_hook().get_conn()))
    else:
        yield _not_tried("store", connections.S3_CONNECTION)
    if connections.KAFKA_CONNECTION in usable:
        yield from guarded("Kafka", lambda: topics.answers(Kafka()))
    else:
        yield _not_tried("Kafka", connections.KAFKA_CONNECTION)
    if connection := usable.get(connections.API_CONNECTION):
        yield from guarded("Airflow", lambda: _of_airflow(connection))
    else:
        yield _not_tried("Airflow", connections.API_CONNECTION)


def _not_tried(name: str, connection: str) -> Answer:
    return unknown(name, f"Not tried, because the connection {connection} is missing or wrong.")


def _of_airflow(connection: Connection) -> Iterator[Answer]:
    """Yield the answers of Airflow's API."""
    url, parts = clients.health(connection)
    yield account.health_answer(parts, url)
    if parts:
        found: list[Answer] = []

        async def collect() -> None:
            async with RunsClient.from_connection(connection) as client:
                async for answer in account.answers(client):
                    found.append(answer)

        yield from guarded("account", lambda: asyncio.run(collect()) or ())
        yield from found
