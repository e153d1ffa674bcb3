"""What the end-to-end tests have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.demo.api import Api
from include.demo.stack import Stack


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    """Airflow's API, of the stack of the module."""
    with stack.api() as api:
        yield api
