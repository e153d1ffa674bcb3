"""xray.airflow.preload: models that are loaded before a fork work in every forked process"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(1800)
FORKS, REAL_FORKS = 40, 1000


def test_models_that_were_loaded_before_a_fork_give_the_same_results(real: bool) -> None:
    count = REAL_FORKS if real else FORKS
    command = [sys.executable, "-m", "tests.support.forks", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1700)
    assert done.stdout.split("\n")[-2] == f"{count} of {count}"
