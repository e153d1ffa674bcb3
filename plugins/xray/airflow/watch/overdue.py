"""Which overdue cases people are told of: each once, and many of them in one notice.

Cases become overdue in the order in which they were queued. One time is therefore enough to know
which were told: that until which all cases have been. It is kept in an Airflow Variable, so that
the next triggerer does not tell them again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Variable

from xray.airflow import config
from xray.airflow.addresses import runs_address
from xray.airflow.watch.cases import Cases, OverdueCase
from xray.times import time_of

log = logging.getLogger(__name__)

MOST_NOTICES = 5
"""Cases that are told one by one in a round. More of them have a common cause, and one notice."""
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told."""

    run_id: str
    """Empty for a notice about several cases."""
    sentence: str
    facts: dict[str, Any]


class Overdue:
    """Decides what is told in each round.

    Args:
        told_until: cases that were queued until this time have been told.
    """

    def __init__(self, told_until: datetime = NEVER) -> None:
        self.told_until = told_until
        self._many = False
        """Whether the last round had more overdue cases than are listed."""

    def due(self, cases: Cases, minutes: float) -> list[Notice]:
        """Return what has to be told now. It counts as told from now on.

        Args:
            cases: the active cases.
            minutes: how long a case may take.
        """
        new = [case for case in cases.listed if case.since > self.told_until]
        if not cases.complete:
            notices = [] if self._many else [_summary(cases.overdue, minutes)]
        elif len(new) > MOST_NOTICES:
            notices = [_summary(len(new), minutes)]
        else:
            notices = list(_one_by_one(new, minutes))
        self._many = not cases.complete
        self.told_until = max(self.told_until, cases.cutoff)
        return notices


def read_told_until() -> datetime:
    """Return until when cases have been told; :data:`NEVER` if that is not known."""
    return time_of(str(Variable.get(config.OVERDUE_VARIABLE, default=""))) or NEVER


def write_told_until(time: datetime) -> None:
    """Keep until when cases have been told. If that fails, only log a warning."""
    try:
        Variable.set(
            config.OVERDUE_VARIABLE,
            time.isoformat(),
            description="Overdue cases that were queued until this time have been told",
        )
    except Exception as error:
        log.warning("After a restart, overdue cases may be told again (%s).", type(error).__name__)


def _one_by_one(cases: list[OverdueCase], minutes: float) -> Iterator[Notice]:
    for case in cases:
        if case.started:
            what = f"is not through after {minutes:g} minutes: its run shows where it is"
        else:
            what = (
                f"has not started after {minutes:g} minutes: check that {config.CASE_DAG} is not "
                "paused, and that the scheduler and the workers run"
            )
        yield Notice(case.run_id, f"The case {what}.", {})


def _summary(number: int, minutes: float) -> Notice:
    return Notice(
        "",
        f"{number} cases are not through after {minutes:g} minutes.",
        {"link": runs_address(config.CASE_DAG)},
    )
