"""The files of deploy/ match their schemas, the shared settings and the package"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from include.demo.stack import GROUP, shared_settings
from include.demo.verification import BUCKET
from include.servers.processes import StartError
from include.servers.real import schemas
from tests.support import ROOT
from xray.airflow.config import DEAD_LETTER_TOPIC, TOPIC
from xray.case import Buckets

DEPLOY = ROOT / "deploy"
VALUES = sorted((DEPLOY / "airflow").glob("values*.yaml"))
MANIFESTS = sorted(set(DEPLOY.rglob("*.yaml")) - set(VALUES))
DOCUMENTS = [(p, d) for p in MANIFESTS for d in yaml.safe_load_all(p.read_text())]
NAMES = [f"{path.stem}-{one['kind']}-{one['metadata']['name']}" for path, one in DOCUMENTS]


def fetched(source: Callable[[], Any]) -> Any:
    """Return the schemas of a package; skip the test if its package manager is not installed."""
    try:
        return source()
    except StartError as error:
        pytest.skip(str(error))


def closed(schema: Any) -> Any:
    """Return the schema without additional properties, so that misspelt names are errors."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    open_to_more = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & set(schema)
    # A schema that only lists required names has no type, and stays as it is.
    if schema.get("format") == "int-or-string":
        found["type"] = ["integer", "string"]
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", bool(open_to_more))
    return found


@cache
def definitions() -> Any:
    return closed(fetched(schemas.kubernetes))


def validate(document: Any, schema: dict[str, Any]) -> list[str]:
    """Return the errors of a document."""
    whole = {**schema, "definitions": definitions()}
    found = jsonschema.Draft7Validator(whole).iter_errors(document)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def schema_of(document: Any) -> dict[str, Any]:
    """Return the schema of a document's kind, with its metadata."""
    kind = document["apiVersion"], document["kind"]
    group = kind[0].partition("/")[0]
    if group == "kafka.strimzi.io":
        kinds = fetched(schemas.strimzi_kinds)
    elif group in ("ceph.rook.io", "objectbucket.io"):
        kinds = fetched(schemas.rook_kinds)
    else:
        kinds = fetched(schemas.kubernetes_kinds)
    assert kind in kinds, f"{kind} is in no package"
    schema = closed(kinds[kind])
    if "$ref" in schema:
        return dict(schema)
    meta = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    names = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": meta}
    return {**schema, "properties": {**schema["properties"], **names}}


@pytest.mark.parametrize(("path", "document"), DOCUMENTS, ids=NAMES)
def test_each_file_is_what_its_schema_says(path: Path, document: Any) -> None:
    assert validate(document, schema_of(document)) == []


@pytest.mark.parametrize(("path", "document"), DOCUMENTS, ids=NAMES)
def test_a_mistake_would_be_found(path: Path, document: Any) -> None:
    wrong = copy.deepcopy(document)
    body = wrong.get("spec", wrong)
    body["replicsa"] = 1
    assert "replicsa" in "".join(validate(wrong, schema_of(document)))
    wrong = copy.deepcopy(document)
    wrong["metadata"]["name"] = 3
    assert validate(wrong, schema_of(document))


def merged() -> dict[str, Any]:
    """Return the values of the Celery variant, merged as by Helm."""

    def over(below: Any, above: Any) -> Any:
        if isinstance(below, dict) and isinstance(above, dict):
            return {k: over(below.get(k), above.get(k, below.get(k))) for k in below | above}
        return above

    first, second = (yaml.safe_load(path.read_text()) for path in VALUES)
    if "executor" in first and first["executor"] == "CeleryExecutor":
        first, second = second, first
    found: dict[str, Any] = over(first, second)
    return found


def parts(values: Any, name: str) -> Iterator[Any]:
    """Yield every value of that name at any depth."""
    if isinstance(values, dict):
        for key, value in values.items():
            if key == name:
                yield value
            else:
                yield from parts(value, name)


KINDS = {
    "resources": "ResourceRequirements",
    "pod": "PodSecurityContext",
    "containers": "SecurityContext",
}


@pytest.mark.parametrize("path", VALUES, ids=lambda path: str(path.stem))
def test_the_values_that_the_chart_passes_to_kubernetes_are_right(path: Path) -> None:
    """The schema of the chart itself is in no registry; helm checks it before an installation."""
    values = yaml.safe_load(path.read_text())
    for name, kind in KINDS.items():
        for part in parts(values, name):
            assert validate(part, {"$ref": f"#/definitions/io.k8s.api.core.v1.{kind}"}) == []
    for name, kind in (("volumes", "Volume"), ("volumeMounts", "VolumeMount"), ("env", "EnvVar")):
        for part in values.get(name, ()):
            assert validate(part, {"$ref": f"#/definitions/io.k8s.api.core.v1.{kind}"}) == []


@pytest.mark.parametrize(
    ("values", "files"),
    [
        (yaml.safe_load((DEPLOY / "airflow" / "values.yaml").read_text()), ["airflow"]),
        (merged(), ["airflow", "celery"]),
    ],
    ids=["kubernetes", "celery"],
)
def test_the_environment_is_that_of_config(values: Any, files: list[str]) -> None:
    sources = [one["configMapRef"]["name"] for one in yaml.safe_load(values["extraEnvFrom"])]
    assert sources == [f"xray-{name}-env" for name in files]
    readme = (DEPLOY / "README.md").read_text()
    shared: dict[str, str] = {}
    for name in files:
        assert f"create configmap xray-{name}-env --from-env-file=config/{name}.env" in readme
        shared |= shared_settings(f"{name}.env")
    own = {one["name"]: one["value"] for one in values["env"]}
    assert set(own) & set(shared) == set(), "a setting is in one place only"
    assert all(isinstance(value, str) for value in own.values())


def test_there_are_as_many_workers_as_tasks_need() -> None:
    values = merged()
    own = {one["name"]: one["value"] for one in values["env"]}
    slots = values["config"]["celery"]["worker_concurrency"]
    most = values["workers"]["celery"]["keda"]["maxReplicaCount"]
    assert int(own["AIRFLOW__CORE__PARALLELISM"]) == slots * most
    step = 600  # Seconds: STEP_DEFAULTS of xray.airflow.case.tasks.
    assert values["workers"]["terminationGracePeriodSeconds"] >= step
    assert values["workers"]["celery"]["keda"]["cooldownPeriod"] > step


def test_every_secret_that_is_named_is_made() -> None:
    text = "".join(path.read_text() for path in [*VALUES, *MANIFESTS])
    named = set(re.findall(r"[Ss]ecret\w*(?:: |: \{name: )(xray-[\w-]+)", text))
    named |= set(re.findall(r"(?:sslCertificateRef|caBundleRef): (xray-[\w-]+)", text))
    readme = (DEPLOY / "README.md").read_text()
    assert len(named) > 8
    assert {name for name in named if name not in readme} == set()


def test_the_names_are_those_of_the_package() -> None:
    by_kind: dict[str, list[Any]] = {}
    for _, document in DOCUMENTS:
        by_kind.setdefault(document["kind"], []).append(document)

    def names(kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in by_kind[kind]}

    assert names("KafkaTopic") == {TOPIC, DEAD_LETTER_TOPIC}
    assert names("CephBucketTopic") == {TOPIC}
    buckets = Buckets(BUCKET)
    wanted = {BUCKET, *buckets.outputs(), "xray-logs"}
    assert names("ObjectBucketClaim") == wanted
    assert {one["spec"]["bucketName"] for one in by_kind["ObjectBucketClaim"]} == wanted
    (notification,) = names("CephBucketNotification")
    attached = [
        one["metadata"]["name"]
        for one in by_kind["ObjectBucketClaim"]
        if one["metadata"].get("labels") == {f"bucket-notification-{notification}": notification}
    ]
    assert attached == [BUCKET], "notifications of the results would be a loop"
    group = next(
        acl["resource"]
        for user in by_kind["KafkaUser"]
        for acl in user["spec"]["authorization"]["acls"]
        if acl["resource"]["type"] == "group"
    )
    assert group["name"] == GROUP


def test_kafka_lets_in_the_parts_that_use_it() -> None:
    """The listener, a replay, and the page of the dead letters."""
    (kafka,) = (one for _, one in DOCUMENTS if one["kind"] == "Kafka")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    (components,) = (
        expression["values"]
        for peer in listener["networkPolicyPeers"]
        for expression in peer["podSelector"].get("matchExpressions", [])
    )
    assert components == ["api-server", "triggerer", "worker"]


def test_no_secret_is_in_the_files() -> None:
    assert not [one for _, one in DOCUMENTS if one["kind"] == "Secret"]
    for path in [*VALUES, *MANIFESTS]:
        assert not re.search(r"password: *['\"]?\w", path.read_text()), path.name
