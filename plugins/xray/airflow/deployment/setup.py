"""The command ``python -m xray setup``: create what a deployment lacks outside of Airflow.

Buckets, topics, and the announcements of the landing bucket. What exists is kept, so that the
command can run again at any time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from xray.airflow import connections
from xray.airflow.deployment import clients, configured, create
from xray.airflow.deployment.clients import Kafka
from xray.airflow.deployment.table import Answer, Mark, Table, guarded

PUSH_ENDPOINT = "XRAY_PUSH_ENDPOINT"
"""The environment variable with the option ``--push-endpoint``, which may hold a password."""
SUCCEEDED, FAILED = 0, 1
PATIENCE = 6
"""How often a request to the store is sent: a gateway that restarts gets half a minute."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if nothing is missing any more, 1 if something could not be created.

    Args:
        arguments: of the command; those of the process if None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xray setup",
        description="Create the buckets, the topics and the announcements that are missing, with "
        "the connections xray_s3 and xray_kafka. What exists is kept.",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what is missing")
    parser.add_argument(
        "--push-endpoint",
        metavar="URL",
        default=os.environ.get(PUSH_ENDPOINT),
        help="where Ceph's gateway sends its notifications, such as kafka://broker:9092 or, with a "
        "login, kafka://USER:...@broker:9093; by default the first broker of xray_kafka. The "
        f"environment variable {PUSH_ENDPOINT} keeps a password out of the list of processes",
    )
    parser.add_argument(
        "--target",
        metavar="ARN",
        help="a target of notifications that the store has already, such as MinIO's "
        "arn:minio:sqs::NAME:kafka",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    return run(
        sys.stdout,
        push_endpoint=options.push_endpoint,
        target=options.target,
        dry_run=options.dry_run,
        as_json=options.json,
    )


def run(
    stream: TextIO,
    *,
    push_endpoint: str | None = None,
    target: str | None = None,
    dry_run: bool = False,
    as_json: bool = False,
) -> int:
    """Create what is missing, and print what was created and what exists; return the exit status.

    Args:
        stream: where the table goes.
        push_endpoint: where Ceph's gateway sends the notifications; None for the first broker.
        target: the ARN of a target that the store has already; None for a topic of Ceph.
        dry_run: only say what is missing.
        as_json: print JSON instead of a table.
    """
    with clients.plain_shell(stream) as output:
        table = Table(output, as_json=as_json)
        if push_endpoint:
            table.hide([push_endpoint.rpartition("@")[0].rpartition(":")[2]])
        for answer in _answers(table, push_endpoint, target, dry_run=dry_run):
            table.add(answer)
        table.finish()
    return SUCCEEDED if table.is_well else FAILED


def _answers(
    table: Table, push_endpoint: str | None, target: str | None, *, dry_run: bool
) -> Iterator[Answer]:
    """Yield what was created, and what exists."""
    usable = set()
    for name in (connections.S3_CONNECTION, connections.KAFKA_CONNECTION):
        connection = configured.find_connection(name)
        if connection is not None:
            table.hide(clients.secrets_of(connection))
        answer = configured.connection_answer(name, connection)
        if answer.mark is Mark.WELL:
            usable.add(name)
        else:
            yield answer
    kafka = Kafka()
    if connections.KAFKA_CONNECTION in usable:
        yield from guarded("topics", lambda: create.topics(kafka, dry_run=dry_run))
    if connections.S3_CONNECTION in usable:
        hook = clients.s3_hook(PATIENCE)
        yield from guarded("buckets", lambda: create.buckets(hook, dry_run=dry_run))
        if push_endpoint is None and connections.KAFKA_CONNECTION in usable:
            push_endpoint = f"kafka://{kafka.brokers.split(',')[0].strip()}"
        if push_endpoint or target:
            endpoint = push_endpoint or ""
            yield from guarded(
                "announcements",
                lambda: [
                    create.announcements(
                        hook.get_conn(),
                        clients.topics_of_the_store,
                        push_endpoint=endpoint,
                        target=target,
                        dry_run=dry_run,
                    )
                ],
            )
