"""Past cases in Airflow's database: copies of the rows of one case that has ended."""

from __future__ import annotations

from typing import Any

RUN_PREFIX = "past__"
_TABLES = ("dag_run", "task_instance", "xcom", "rendered_task_instance_fields", "log")
"""The tables that keep rows of each run, in an order that satisfies their references."""
_APART = "interval '1 minute'"
"""The time between two past cases."""
_KEYS = {
    "run_id": f"'{RUN_PREFIX}' || n",
    "dag_run_id": "run.id",
}
_NEW_ID = {"task_instance": "gen_random_uuid()"}
"""How a table's column ``id`` is filled; the others have a sequence."""


def add_past_cases(cursor: Any, dag_id: str, template: str, *, first: int, last: int) -> None:
    """Add the past cases with the numbers ``first`` to ``last``.

    Args:
        cursor: of a connection to Airflow's database.
        dag_id: the DAG of the cases.
        template: the id of the run whose rows are copied.
        first: the number of the youngest of the cases.
        last: the number of the oldest one.
    """
    for table in _TABLES:
        names, values = _columns(cursor, table)
        run = "JOIN dag_run AS run ON run.dag_id = one.dag_id AND run.run_id = " + _KEYS["run_id"]
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} "  # noqa: S608
            f"FROM {table} AS one CROSS JOIN generate_series(%s, %s) AS n "
            f"{'' if table == 'dag_run' else run} WHERE one.dag_id = %s AND one.run_id = %s",
            (first, last, dag_id, template),
        )
    cursor.execute("ANALYZE")


def _columns(cursor: Any, table: str) -> tuple[list[str], list[str]]:
    """Return the names of a table's columns, and the expressions for the copy of a row."""
    cursor.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = %s",
        (table,),
    )
    names, values = [], []
    for name, kind in cursor.fetchall():
        if name == "id" and table not in _NEW_ID:
            continue
        names.append(f'"{name}"')
        if name == "id":
            values.append(_NEW_ID[table])
        elif name in _KEYS:
            values.append(_KEYS[name])
        elif kind.startswith("timestamp"):
            values.append(f'one."{name}" - n * {_APART}')
        else:
            values.append(f'one."{name}"')
    return names, values
