"""A case whose worker is killed, whose store is unavailable, or whose object changes"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from include.demo import run
from include.demo.api import Api
from include.demo.stack import Stack
from include.demo.verification import BUCKET
from include.servers.processes import wait_until
from tests.support import workers
from tests.support.s3_proxy import Held, S3Proxy
from xray import audit
from xray.case import RUN_PREFIX, Buckets, Source
from xray.storage import ObjectStore

BUCKETS = Buckets(BUCKET)
LONG = 150.0
RETRIES = 3
READS = ["fetch", "classify", "annotate", "anonymize"]
"""The steps that read the object, in their order."""
STEPS = [*READS, "store"]


@pytest.fixture(scope="module")
def proxy() -> Iterator[S3Proxy]:
    with S3Proxy() as proxy:
        yield proxy


@pytest.fixture(scope="module")
def stack(proxy: S3Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack whose workers reach the store through the proxy; the test does not use it."""
    with Stack(
        home=tmp_path_factory.mktemp("stack"),
        parallelism=16,
        settings={"anonymize": "always"},
        airflow_settings={
            "AIRFLOW_CONN_XRAY_S3": proxy.connection("demo", "demo"),
            "AIRFLOW__XRAY__RETRY_SECONDS": "1",
            "AIRFLOW__XRAY__RETRIES": str(RETRIES),
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_DETECTION_INTERVAL": "2",
        },
    ) as stack:
        proxy.upstream = stack.s3_login[0]
        yield stack


@pytest.fixture(scope="module")
def image() -> bytes:
    return next(path for path in run.IMAGES.rglob("*.jpeg") if "Bruno" in path.name).read_bytes()


@dataclass
class Victim:
    """A case that is disturbed in one of its steps."""

    stack: Stack
    api: Api
    proxy: S3Proxy
    source: Source
    step: str
    held: Held
    run_id: str = ""

    @property
    def path(self) -> str:
        """The API path of the run."""
        return f"/dags/xray_case/dagRuns/{self.run_id}"

    @property
    def task(self) -> dict[str, Any]:
        """The task instance of the step."""
        found: dict[str, Any] = self.api.get(f"{self.path}/taskInstances/{self.step}")
        return found

    def wait_until_held(self) -> None:
        """Wait until the proxy holds the request of the step, and find the run."""
        assert self.held.arrived.wait(LONG), f"no request of {self.step}"
        runs = self.api.all("/dags/xray_case/dagRuns", "dag_runs")
        keys = {
            run["dag_run_id"]: Source.from_conf(run["conf"], self.stack.keyring).key for run in runs
        }
        (self.run_id,) = [run_id for run_id, key in keys.items() if key == self.source.key]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, f"{what} of {self.step}", seconds=LONG, children=self.stack.children)

    def wait_for_end(self) -> str:
        """Wait for the end of the run, and return its state."""
        self.until(lambda: self.api.get(self.path)["state"] in ("success", "failed"), "the end")
        return str(self.api.get(self.path)["state"])

    def outputs(self) -> tuple[list[str], list[str]]:
        """Return the etags of what is published: the annotated image; the anonymised one with its
        certificate."""
        etag = self.api.get(self.path)["conf"]["etag"]
        names = (
            (BUCKETS.processed, self.source.processed_key()),
            (
                BUCKETS.anonymized,
                self.source.anonymized_keys(self.stack.keyring, etag, "")[0],
            ),
        )
        store = ObjectStore(self.stack.s3)
        first, second = ([e.etag for e in store.list(bucket, name)] for bucket, name in names)
        return first, second

    def records(self) -> list[dict[str, Any]]:
        """Return the audit records of the case."""
        case_id = self.run_id.removeprefix(RUN_PREFIX)
        return audit.records(ObjectStore(self.stack.s3), BUCKETS.audit, case_id)


def start_and_hold(
    stack: Stack, api: Api, proxy: S3Proxy, image: bytes, name: str, steps: list[str]
) -> list[Victim]:
    """Start a case for each step, and hold each in the middle of its step."""
    victims = []
    for step in steps:
        source = Source(bucket=BUCKET, key=f"Ada Ashgrove/{name} {step}.jpeg")
        if step in READS:
            held = proxy.hold("GET", f"{BUCKET}/{source.key}", READS.index(step) + 1)
        else:
            held = proxy.hold("PUT", f"{BUCKETS.processed}/{source.processed_key()}")
        victims.append(Victim(stack, api, proxy, source, step, held))
    for victim in victims:
        stack.s3.put_object(Bucket=BUCKET, Key=victim.source.key, Body=image)
    for victim in victims:
        victim.wait_until_held()
    return victims


@pytest.fixture(scope="module")
def hold(stack: Stack, api: Api, proxy: S3Proxy, image: bytes) -> Callable[..., list[Victim]]:
    return partial(start_and_hold, stack, api, proxy, image)


@pytest.fixture(scope="module")
def undisturbed(hold: Callable[..., list[Victim]]) -> tuple[list[str], list[str]]:
    """Return the outputs of a case that is not disturbed."""
    (victim,) = hold("undisturbed", ["fetch"])
    victim.held.release()
    assert victim.wait_for_end() == "success"
    outputs = victim.outputs()
    assert [len(etags) for etags in outputs] == [1, 2]
    return outputs


def assert_right(victims: list[Victim], undisturbed: Any) -> None:
    """Assert that each case succeeded after a retry, with the same outputs and one record."""
    for victim in victims:
        assert victim.wait_for_end() == "success", victim.step
        assert victim.task["try_number"] > 1, victim.step
        assert victim.outputs() == undisturbed, victim.step
        assert [record["outcome"] for record in victim.records()] == ["succeeded"], victim.step
    assert list(ObjectStore(victims[0].stack.s3).list(BUCKETS.staging)) == []


def test_a_worker_is_killed_in_each_step(
    hold: Callable[..., list[Victim]], undisturbed: tuple[list[str], list[str]]
) -> None:
    victims = hold("killed", STEPS)
    for victim in victims:
        workers.kill(victim.task["id"])
        victim.held.release()
    assert_right(victims, undisturbed)


@pytest.mark.parametrize("titles", [[workers.TASK], [workers.SUPERVISOR, workers.TASK]], ids=len)
def test_a_case_whose_workers_all_die_is_recorded(
    hold: Callable[..., list[Victim]], proxy: S3Proxy, titles: list[str]
) -> None:
    (victim,) = hold(f"doomed {len(titles)}", ["classify"])
    # The first read is by fetch, the second by the first try of classify, which is held already.
    path = f"{BUCKET}/{victim.source.key}"
    more = [proxy.hold("GET", path, 2 + nth) for nth in range(1, RETRIES + 1)]
    for held in [victim.held, *more]:
        assert held.arrived.wait(LONG)
        for title in titles:
            workers.kill(victim.task["id"], title)
        held.release()
    assert victim.wait_for_end() == "failed"
    victim.until(lambda: victim.records() != [], "the record")
    (record,) = victim.records()
    assert (record["outcome"], record["kind"]) == ("failed", "unexpected")
    assert "The worker died" in record["error"]
    assert record["run"]["task"] == "classify"
    victim.until(lambda: victim.api.get(victim.path)["note"] is not None, "the note")
    assert "The worker died" in victim.api.get(victim.path)["note"]
    assert victim.outputs() == ([], [])


def test_a_supervisor_is_killed_in_each_step(
    hold: Callable[..., list[Victim]], undisturbed: tuple[list[str], list[str]]
) -> None:
    victims = hold("orphaned", STEPS)
    for victim in victims:
        workers.kill(victim.task["id"], workers.SUPERVISOR)
        workers.kill(victim.task["id"])
        victim.held.release()
    assert_right(victims, undisturbed)


@pytest.mark.parametrize("status", [0, 503])
def test_the_store_is_unavailable_in_each_step(
    hold: Callable[..., list[Victim]],
    proxy: S3Proxy,
    undisturbed: tuple[list[str], list[str]],
    status: int,
) -> None:
    victims = hold(f"away {status}", STEPS)
    proxy.away = status
    try:
        for victim in victims:
            victim.held.release()
        for victim in victims:
            victim.until(lambda v=victim: v.task["state"] == "up_for_retry", "the retry")  # type: ignore[misc]
    finally:
        proxy.away = None
    assert_right(victims, undisturbed)


def delete(victim: Victim) -> None:
    victim.stack.s3.delete_object(Bucket=BUCKET, Key=victim.source.key)


def replace(victim: Victim) -> None:
    # The new upload is a case of its own, which fails because it is not an image.
    victim.stack.s3.put_object(Bucket=BUCKET, Key=victim.source.key, Body=b"another")


CHANGES = {delete: "was deleted", replace: "was replaced"}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: str(change.__name__))
def test_the_object_changes_between_two_steps(
    hold: Callable[..., list[Victim]],
    undisturbed: tuple[list[str], list[str]],
    change: Callable[[Victim], None],
) -> None:
    victims = hold(change.__name__, ["classify", "annotate", "anonymize", "store"])
    for victim in victims:
        change(victim)
        victim.held.release()
    *readers, last = victims
    for victim in readers:
        assert victim.wait_for_end() == "failed", victim.step
        assert victim.task["try_number"] == 1, "without a retry"
        assert CHANGES[change] in victim.api.get(victim.path)["note"], "the UI says why"
        (record,) = victim.records()
        assert (record["outcome"], record["run"]["task"]) == ("failed", victim.step)
        assert record["kind"] == "permanent"
        assert CHANGES[change] in record["error"]
        assert victim.outputs() == ([], [])
    assert last.wait_for_end() == "success", "store does not read the object"
    if change is replace:
        last.until(lambda: last.outputs() == ([], []), "the withdrawal of the replaced upload")
    else:
        assert last.outputs() == undisturbed


def assert_waits(victim: Victim, said: str) -> None:
    """Assert that a case waits until a person has mended what its note says."""
    victim.until(lambda: victim.task["state"] == "up_for_retry", "the retry")
    note = victim.api.get(victim.path)["note"]
    assert note.startswith(f"{victim.step} waits until this is mended: The store forbids"), note
    assert said in note
    assert victim.outputs() == ([], [])
    assert victim.records() == [], "nothing has ended"


def test_a_case_that_may_not_read_waits_until_it_may(
    hold: Callable[..., list[Victim]],
    proxy: S3Proxy,
    undisturbed: tuple[list[str], list[str]],
) -> None:
    victims = hold("forbidden", ["classify", "annotate", "anonymize"])
    for victim in victims:
        proxy.forbid("GET", f"{BUCKET}/{victim.source.key}")
        victim.held.release()
    for victim in victims:
        assert_waits(victim, "forbids reading from xray-data-in")
        proxy.allow("GET", f"{BUCKET}/{victim.source.key}")
    assert_right(victims, undisturbed)
    for victim in victims:
        assert "waits" not in victim.api.get(victim.path)["note"], "the note is not out of date"


def test_a_case_that_may_not_publish_publishes_nothing_until_it_may(
    hold: Callable[..., list[Victim]],
    proxy: S3Proxy,
    undisturbed: tuple[list[str], list[str]],
) -> None:
    victims = hold("unpublished", ["store"])
    (victim,) = victims
    assert len(victim.outputs()[1]) == 2, "the anonymised image comes first"
    path = f"{BUCKETS.processed}/{victim.source.processed_key()}"
    proxy.forbid("PUT", path)
    victim.held.release()
    assert_waits(victim, "forbids writing to xray-data-in-processed")
    proxy.allow("PUT", path)
    assert_right(victims, undisturbed)
