"""A soak: a steady stream of messages, and a fault every 20 seconds.

Five messages a second go to Apache Kafka for ten minutes. One in twenty announces an upload to a
real gateway, unless eight cases are active already; a quarter of the uploads overwrite an earlier
object. The other messages repeat an earlier one. Each upload is a case of the real ``xray_case``
without an anonymised copy. Two cores do about 33 such cases a minute if they do no other work, so a
case for each of the five messages a second would only measure the growth of a queue.

``XRAY_SOAK_SECONDS`` sets how long the soak lasts, and ``XRAY_SOAK_SEED`` repeats one.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from include.demo import run
from include.demo.stack import GROUP, Stack
from include.demo.verification import (
    BUCKET,
    END_STATES,
    Case,
    expected_results,
    unexpected_objects,
    verify_case,
)
from include.servers.processes import wait_until
from include.servers.real.kafka import Kafka
from include.servers.real.versitygw import Versitygw
from tests.support import ROOT
from tests.support.api_proxy import ApiProxy
from tests.support.s3_proxy import S3Proxy
from tests.support.soak import (
    LONGEST,
    RATE,
    SERVICE,
    SHORTEST,
    Sender,
    Soak,
    TriggererMemory,
    Upload,
    log_to,
    states,
)
from xray import audit
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC
from xray.case import RUN_PREFIX, Buckets
from xray.case.manifest import ManifestFile
from xray.settings import Settings
from xray.storage import ObjectStore

SECONDS = float(os.environ.get("XRAY_SOAK_SECONDS", "600"))
SEED = int(os.environ.get("XRAY_SOAK_SEED", str(random.SystemRandom().randrange(10_000))))
EVERY = 20.0
"""Seconds from one fault to the next."""
DRAIN = 600.0
"""Seconds after the last fault within which all cases must have ended."""
MEMORY = 0.10
"""The largest growth of a triggerer."""
SETTINGS = {"anonymize": "never"}
PASSWORD = "a password of the soak"
DAGS = ("xray_listener.py", "xray_case.py")
BUCKETS = Buckets(BUCKET)
pytestmark = pytest.mark.timeout(SECONDS + DRAIN + 600)


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """Start Kafka, a gateway and Airflow, which reaches the store and its API through proxies."""
    folder = tmp_path_factory.mktemp("soak")
    dags = folder / "dags"
    dags.mkdir()
    for name in DAGS:
        shutil.copy(ROOT / "dags" / name, dags)
    with ExitStack() as servers:
        kafka = servers.enter_context(Kafka(folder / "kafka"))
        for topic in (TOPIC, DEAD_LETTER_TOPIC, "gateway"):
            kafka.create_topic(topic)
        # The sender announces the uploads: the gateway loses its own notifications while the
        # broker is away.
        gateway = Versitygw(folder / "versitygw", brokers=kafka.brokers, topic="gateway")
        servers.enter_context(gateway)
        s3_proxy, api_proxy = (servers.enter_context(one) for one in (S3Proxy(), ApiProxy()))
        s3_proxy.upstream = gateway.endpoint
        stack = Stack(
            home=folder / "airflow",
            dags=dags,
            kafka=kafka.client,
            store=(gateway.endpoint, gateway.access_key, gateway.secret_key),
            settings=SETTINGS,
            password=PASSWORD,
            users={SERVICE: "user"},
            airflow_settings={
                "AIRFLOW_CONN_XRAY_S3": s3_proxy.connection(gateway.access_key, gateway.secret_key),
                "AIRFLOW_CONN_XRAY_API": api_proxy.connection(SERVICE, PASSWORD),
                # To look up a Variable that is not in its environment, a triggerer loads a part of
                # Airflow's API once: 16 % more memory at the first notice of a life, and no leak.
                "AIRFLOW_VAR_XRAY_NOTICES": "[]",
            },
        )
        with stack:
            api_proxy.upstream = stack.url
            yield Soak(stack, kafka, gateway, s3_proxy, api_proxy, random.Random(SEED))


def disturb(
    soak: Soak, sender: Sender, memory: TriggererMemory, log: Callable[[str], None]
) -> Counter[str]:
    """Let faults happen for :data:`SECONDS`, and return how often each has happened."""
    done: Counter[str] = Counter()
    began = begin = time.monotonic()

    def watch(until: float) -> None:
        """Restart what has ended, count the ended cases and measure the memory, until a time."""
        while (left := until - time.monotonic()) > 0:
            soak.supervise()
            memory.measure()
            sender.note(states(soak.stack))
            time.sleep(min(2.0, left))

    for name, fault in soak.deck():
        # A server that is slow to come back delays the next fault.
        begin = max(begin + EVERY, time.monotonic() + SHORTEST)
        if begin + EVERY > began + SECONDS:
            break
        watch(begin)
        lasts = soak.random.uniform(SHORTEST, LONGEST)
        log(f"{begin - began:4.0f} s: {name}, {lasts:.0f} s; {sender.sent} messages sent")
        with fault():
            watch(time.monotonic() + lasts)
        done[name] += 1
    watch(began + SECONDS)
    return done


def drain(
    soak: Soak, sender: Sender, memory: TriggererMemory, log: Callable[[str], None]
) -> dict[str, str]:
    """Wait for the end of all cases, and return the state of each run by its id."""
    found: dict[str, str] = {}
    told: Counter[str] = Counter()

    def ended() -> bool:
        nonlocal told
        soak.supervise()
        memory.measure()
        found.update(states(soak.stack))
        if (now := Counter(found.values())) != told:
            log(f"{dict(now)} of {len(sender.uploads)} runs")
            told = now
        if len(found) < len(sender.uploads) or not set(found.values()) <= set(END_STATES):
            return False
        return soak.kafka.committed(GROUP, TOPIC) == soak.kafka.end_offsets(TOPIC)

    wait_until(ended, "the end of all cases", seconds=DRAIN)
    return found


def cases(soak: Soak, newest: dict[str, Upload]) -> list[Case]:
    """Return the case of the newest upload of each object."""
    store, found = ObjectStore(soak.gateway.s3), []
    for upload in newest.values():
        case_id = upload.run_id.removeprefix(RUN_PREFIX)
        case = Case(upload.expected, upload.at, state="success", case_id=case_id)
        case.records = audit.records(store, BUCKETS.audit, case_id)
        found.append(case)
    return found


def assert_one_live_result(soak: Soak, newest: dict[str, Upload]) -> None:
    """Each object must have the result of its newest upload, and the buckets no other object."""
    store, settings = ObjectStore(soak.gateway.s3), Settings.from_mapping(SETTINGS)
    found = cases(soak, newest)
    wrong = {case.key: verify_case(case, store, settings) for case in found}
    assert {key: reasons for key, reasons in wrong.items() if reasons} == {}
    for case in found:
        manifest, _ = ManifestFile(store, BUCKETS.manifests, case.key).read()
        assert manifest.case_id == case.case_id, "the newest upload owns the object"
        live = [output.bucket for output in manifest.outputs]
        assert live.count(BUCKETS.processed) == 1
    assert unexpected_objects(found, store) == []


def test_soak(soak: Soak, record_fault: Callable[..., None], tmp_path: Path) -> None:
    out = ROOT / "out" / "soak.log"
    out.parent.mkdir(exist_ok=True)
    log = log_to(out)
    log(f"seed {SEED}, {SECONDS:.0f} s")
    print(f"XRAY_SOAK_SEED={SEED} repeats this soak; its log is {out}.")
    images = expected_results(run.IMAGES, Settings.from_mapping(SETTINGS))
    sender, memory = Sender(soak, images, random.Random(SEED)), TriggererMemory(soak.stack)
    began = time.monotonic()
    sender.start()
    done = disturb(soak, sender, memory, log)
    sender.stop()
    found = drain(soak, sender, memory, log)
    seconds, newest = time.monotonic() - began, sender.newest()
    growth = memory.growth()
    log(f"{seconds:.0f} s; {done}; restarted: {soak.restarted}; memory by age: {growth}")

    assert sorted(found) == sorted(upload.run_id for upload in sender.uploads), "one run each"
    unsuccessful = [one.key for one in newest.values() if found[one.run_id] != "success"]
    assert unsuccessful == []
    assert_one_live_result(soak, newest)
    verdict = run.verify_audit(
        ObjectStore(soak.gateway.s3), tmp_path / "audit", soak.stack.keyring.secrets
    )
    assert verdict.problems == ()
    assert sum(soak.kafka.end_offsets(DEAD_LETTER_TOPIC).values()) == 0
    assert growth or SECONDS < 600, "a triggerer has lived long enough"
    assert [one for one in growth if one[1] > MEMORY] == []
    most = max((share for _, share in growth), default=0.0)
    record_fault(
        f"soak: {RATE:.0f} messages/s, a fault every {EVERY:.0f} s for {SECONDS:.0f} s",
        sender.sent,
        len(found),
        len(found) - len(sender.uploads),
        seconds,
        f"{len(newest)} objects with one live result each; the triggerer's memory {most:+.0%}; "
        + ", ".join(f"{name} ({count})" for name, count in sorted(done.items())),
    )
