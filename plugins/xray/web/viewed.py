"""The record of who has seen which picture: an entry of Airflow's audit log for each view."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from typing import Any

from xray.airflow import config
from xray.airflow.index import queries

EVENT = "xray_view"
"""The event of the entries."""
REPEATED_SECONDS = 600.0
"""How long the same picture is not recorded again for the same user."""
_MOST = 10_000
"""The views that are remembered, so that they are not recorded again."""


class ViewLog:
    """Records views, each at most once within :data:`REPEATED_SECONDS`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def record(self, user: Any, case_id: str, picture: str) -> None:
        """Record that a user is about to be shown a picture of a case.

        Args:
            user: Airflow's user.
            case_id: the case.
            picture: what is shown, such as ``original``.

        Raises:
            SQLAlchemyError: the database cannot keep the record. The picture must not be shown.
        """
        name = str(user.get_name())
        view, now = (name, case_id, picture), time.monotonic()
        with self._lock:
            last = self._seen.get(view)
        if last is not None and now - last < REPEATED_SECONDS:
            return
        _write(name, case_id, picture)
        with self._lock:
            self._seen[view] = now
            self._seen.move_to_end(view)
            while len(self._seen) > _MOST:
                self._seen.popitem(last=False)


def _write(name: str, case_id: str, picture: str) -> None:
    """Write an entry of the audit log.

    Airflow has no public way for it; the columns are those that its API shows.
    """
    from airflow.models.log import Log

    extra = json.dumps({"case_id": case_id, "picture": picture})
    with queries.session() as session:
        session.add(Log(event=EVENT, owner=name, extra=extra, dag_id=config.CASE_DAG))


log = ViewLog()
"""The views of this process."""
