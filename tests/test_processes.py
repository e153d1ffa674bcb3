"""The tests themselves: which process of ``-n`` runs which test"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

from tests.conftest import FilesInOneProcess


def test_all_end_to_end_tests_are_in_one_process() -> None:
    scheduler = FilesInOneProcess.__new__(FilesInOneProcess)  # Without processes.
    # The method is private: pytest-xdist has no public one.
    assert "_split_scope" in LoadFileScheduling.schedule.__code__.co_names
    first, second, other = (
        scheduler._split_scope(nodeid)
        for nodeid in ("tests/e2e/a.py::test", "tests/e2e/b.py::test", "tests/test_a.py::test")
    )
    assert first == second
    assert other == "tests/test_a.py"
