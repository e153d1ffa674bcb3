"""xray.airflow.listener.blame: simulated hours of an API that fails, in no time"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.support import KEYRING, notification
from xray.airflow.api import RunFailedError, Started
from xray.airflow.listener import blame
from xray.airflow.listener.run_starter import RunStarter
from xray.case import Source
from xray.errors import TransientError
from xray.settings import Settings

CALL = 0.05
"""Seconds that a call of the API takes."""
IN_PROGRESS = 100
"""Messages in progress at once, as in the listener."""


class SimulatedTime(selectors.DefaultSelector):
    """Lets the time of an event loop jump to the next event."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


def simulated(work: Coroutine[Any, Any, Any]) -> float:
    """Run ``work`` in simulated time; return how many seconds it took."""
    time = SimulatedTime()
    loop = asyncio.SelectorEventLoop(time)
    loop.time = lambda: time.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work)
    return time.now


class Api:
    """An API that fails as a test wants it.

    Args:
        fails: whether it fails on a call, given the object key and the time.
    """

    def __init__(self, fails: Callable[[str, float], bool]) -> None:
        self._fails = fails
        self._slots = asyncio.Semaphore(8)
        self.calls: Counter[str] = Counter()

    async def start(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> Started:
        """Start a run, or fail."""
        key = Source.from_conf(conf, KEYRING).key
        async with self._slots:
            await asyncio.sleep(CALL)
            self.calls[key] += 1
            if self._fails(key, asyncio.get_running_loop().time()):
                raise RunFailedError("Airflow's API fails on the run (HTTP 500).")
            return Started.NEW


async def start_all(
    keys: list[str], fails: Callable[[str, float], bool], *, every: float = 0.0
) -> dict[str, float]:
    """Start a run for each key; return the time at which each dead letter was made.

    Args:
        keys: of the objects.
        fails: whether the API fails on a call.
        every: seconds between two messages.
    """
    starter = RunStarter(
        Api(fails),  # type: ignore[arg-type]
        dag_id="xray_case",
        keyring=KEYRING,
        settings=Settings(),
    )
    dead: dict[str, float] = {}
    room = asyncio.Semaphore(IN_PROGRESS)

    async def process(key: str) -> None:
        result = await starter.start_runs(notification(key))
        if result.dead_letter_reason is not None:
            assert "this run is to blame" in result.dead_letter_reason
            dead[key] = asyncio.get_running_loop().time()
        room.release()

    async with asyncio.TaskGroup() as group:
        for key in keys:
            await room.acquire()
            group.create_task(process(key))
            await asyncio.sleep(every)
    return dead


@pytest.mark.parametrize("every", [0.0, 5.0])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_random_errors_make_no_dead_letter(share: float, every: float) -> None:
    chance = random.Random(f"{share} {every}")
    keys = [f"good/{number}" for number in range(1000)]
    dead: dict[str, float] = {}

    async def work() -> None:
        dead.update(await start_all(keys, lambda *_: chance.random() < share, every=every))

    simulated(work())
    assert dead == {}


def test_outages_make_no_dead_letter() -> None:
    """Each hour, the API fails on all calls for 20 minutes."""
    keys = [f"good/{number}" for number in range(1000)]
    dead: dict[str, float] = {}

    async def work() -> None:
        dead.update(await start_all(keys, lambda _, now: now % 3600 < 1200, every=10.0))

    assert simulated(work()) > 9000
    assert dead == {}


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_runs_that_the_api_always_fails_on_become_dead_letters(share: float) -> None:
    """Each within a quarter of an hour, though the API fails on others now and then."""
    chance = random.Random(share)
    poisoned = {"poison/1", "poison/2", "poison/3"}
    keys = [*poisoned, *(f"good/{number}" for number in range(400))]
    dead: dict[str, float] = {}

    async def work() -> None:
        fails = lambda key, _: key in poisoned or chance.random() < share  # noqa: E731
        dead.update(await start_all(keys, fails, every=5.0))

    simulated(work())
    assert set(dead) == poisoned
    assert all(blame.SECONDS <= time <= blame.SECONDS + 300 for time in dead.values())


def test_a_run_alone_is_not_blamed() -> None:
    """Without other runs, nobody can tell the run's fault from the API's."""
    dead: dict[str, float] = {}
    calls = 0

    def fails(key: str, now: float) -> bool:
        nonlocal calls
        calls += 1
        return now < 24 * 3600

    async def work() -> None:
        dead.update(await start_all(["alone"], fails))

    assert simulated(work()) >= 24 * 3600
    assert dead == {}
    assert calls > 1000


def test_a_caller_that_does_not_wait_gives_a_run_up() -> None:
    async def work() -> None:
        starter = RunStarter(
            Api(lambda key, _: key == "poison"),  # type: ignore[arg-type]
            dag_id="xray_case",
            keyring=KEYRING,
            settings=Settings(),
            wait=False,
        )
        bad, good = await asyncio.gather(
            starter.start_runs(notification("poison")), starter.start_runs(notification("good"))
        )
        assert bad.dead_letter_reason is not None
        assert "It was tried 8 times." in bad.dead_letter_reason
        assert good.counts["started"] == 1

    assert simulated(work()) < 120


def test_a_caller_that_does_not_wait_gets_the_error_of_an_api_that_is_away() -> None:
    class Away:
        async def start(self, *_: Any) -> Started:
            raise TransientError("Airflow's API does not answer.")

    async def work() -> None:
        starter = RunStarter(
            Away(),  # type: ignore[arg-type]
            dag_id="xray_case",
            keyring=KEYRING,
            settings=Settings(),
            wait=False,
        )
        with pytest.raises(TransientError):
            await starter.start_runs(notification("a"))

    simulated(work())
