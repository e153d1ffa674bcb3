"""The table of the index, and how a row is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection

from xray.case import Decision

metadata = MetaData()


class State(StrEnum):
    """How far a case is. The values are data: the table holds them."""

    RUNNING = "running"
    WAITING = "waiting"
    """For a person, before anything was published."""
    FINISHED = "finished"
    FAILED = "failed"


CASES = Table(
    "xray_case",
    metadata,
    Column("case_id", String(32), primary_key=True),
    Column("run_id", String(250), nullable=False),
    Column("bucket", String(63), nullable=False),
    Column("origin", String(20), nullable=False),
    Column("state", String(10), nullable=False),
    # When Airflow has received the case, and when its last attempt started and ended.
    Column("received", DateTime(timezone=True), nullable=False),
    Column("started", DateTime(timezone=True)),
    Column("ended", DateTime(timezone=True)),
    Column("attempt", Integer),
    Column("label", String(20)),
    # Rounded: the exact risk is unique to an image.
    Column("risk", Float),
    Column("refused", String(60)),
    Column("model", String(64)),
    Column("decision", String(30)),
    # The kind of the decision that a person is asked for.
    Column("waits", String(10)),
    # Keyed hashes of the object key and of the patient, by which a case is found.
    Column("object", String(32)),
    Column("patient", String(32)),
    # Whether a later case of the same object has published its results.
    Column("replaced", Boolean, nullable=False, default=False),
)
"""One row for each case."""

FILTERED = ("state", "label", "decision", "model", "origin", "waits")
"""The columns with few values, by which the cases are filtered."""

# The gallery shows the newest cases first, of all or of one value. An index of a value has the
# other columns, too: two values that are frequent may have no case in common, and the database need
# not read the row of each case of one of them to see that.
Index("idx_xray_case_received", CASES.c.received.desc(), CASES.c.case_id)
for _column in FILTERED:
    _others = [CASES.c[name] for name in FILTERED if name != _column]
    Index(
        f"idx_xray_case_{_column}",
        CASES.c[_column],
        CASES.c.received.desc(),
        CASES.c.case_id,
        *_others,
    )
for _column in ("object", "patient"):
    Index(f"idx_xray_case_{_column}", CASES.c[_column])


NAMELESS = {
    **dict.fromkeys(("label", "risk", "refused", "waits", "object", "patient")),
    "replaced": True,
}
"""The values of a row after the deletion of the object's results."""


def write(
    connection: Connection, case_id: str, values: Mapping[str, Any], *, new: Mapping[str, Any]
) -> None:
    """Change the row of a case, or add it.

    Args:
        connection: to Airflow's database, in a transaction.
        case_id: the case.
        values: by the names of the columns.
        new: further values of a row that is added.
    """
    row = CASES.c.case_id == case_id
    if not connection.execute(update(CASES).where(row).values(**values)).rowcount:
        connection.execute(insert(CASES).values(case_id=case_id, **{**new, **values}))


def replace_earlier(connection: Connection, case_id: str) -> None:
    """Mark the rows of the earlier cases of an object whose results a case has replaced.

    A review that such a case was waiting for is withdrawn.

    Args:
        connection: to Airflow's database, in a transaction.
        case_id: the case that has published. Its row says which object it is about.
    """
    row = connection.execute(
        select(CASES.c.object, CASES.c.received).where(CASES.c.case_id == case_id)
    ).one()
    if row.object is None:
        return  # An earlier version of this package has fetched the object.
    earlier = update(CASES).where(
        CASES.c.object == row.object,
        CASES.c.case_id != case_id,
        CASES.c.received <= row.received,
        CASES.c.state != State.FAILED.value,  # It has no results of its own.
    )
    waiting = earlier.where(CASES.c.state == State.WAITING.value)
    connection.execute(waiting.values(state=State.FINISHED.value))
    connection.execute(earlier.values(replaced=True, waits=None))


def forget(connection: Connection, objects: Sequence[str]) -> None:
    """Remove what the rows of the cases of deleted objects say of the image and the patient.

    Args:
        connection: to Airflow's database, in a transaction.
        objects: the keyed hashes of the object keys.
    """
    values = {**NAMELESS, "state": State.FINISHED.value, "decision": Decision.DELETED.value}
    connection.execute(update(CASES).where(CASES.c.object.in_(objects)).values(**values))
