"""Unexpected errors without their messages, which may quote an object key.

Airflow writes the message of an error that ends a task to the task's log, and
its OpenLineage provider sends it to the backend. The messages of this package
name no patient; those of other code may.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from xray.errors import TransientError, XrayError


class UnexpectedError(TransientError):
    """An error that this package does not raise on purpose, without its message."""


@contextmanager
def without_messages() -> Iterator[None]:
    """Replace an unexpected error by an :class:`UnexpectedError` with the same traceback.

    Errors of this package and of Airflow pass. For use as a decorator, too.
    """
    try:
        yield
    except XrayError:
        raise
    except Exception as error:
        if type(error).__module__.split(".")[0] == "airflow":
            raise
        raise UnexpectedError(
            f"Unexpected {type(error).__name__}; its message is left out, because it may name a "
            "patient. The traceback shows where it was raised."
        ).with_traceback(error.__traceback__) from None
