"""The schemas that the files of ``deploy/`` are written for, from the packages that bring them.

Kubernetes' and Rook's come as Go modules, Strimzi's are written by the generator in its Maven
artefacts, which needs Java 21. Each is fetched once, into the caches of Go, Maven and this project.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from include.servers.processes import StartError
from include.servers.real import CACHE, go_program

KUBERNETES = ("k8s.io/kubernetes", "v1.34.3")
ROOK = ("github.com/rook/rook", "v1.17.9")
STRIMZI = Path(__file__).with_name("strimzi.pom.xml")
STRIMZI_JAVA = 21
STRIMZI_KINDS = {
    "Kafka": "kafka.Kafka",
    "KafkaNodePool": "nodepool.KafkaNodePool",
    "KafkaTopic": "topic.KafkaTopic",
    "KafkaUser": "user.KafkaUser",
}
"""Kinds, and the classes that they are made from, below ``io.strimzi.api.kafka.model``."""
Kind = tuple[str, str]
"""Such as ``("apps/v1", "Deployment")``."""


@cache
def kubernetes() -> dict[str, Any]:
    """Kubernetes' own definitions, by name: ``io.k8s.api.core.v1.Secret``.

    Raises:
        StartError: Go is missing, or the module cannot be had.
    """
    swagger = go_program.files(*KUBERNETES) / "api" / "openapi-spec" / "swagger.json"
    definitions: dict[str, Any] = json.loads(swagger.read_text())["definitions"]
    return definitions


@cache
def kubernetes_kinds() -> dict[Kind, dict[str, Any]]:
    """The schema of each kind that Kubernetes has itself."""
    kinds = {}
    for name, definition in kubernetes().items():
        for one in definition.get("x-kubernetes-group-version-kind", ()):
            version = "/".join(filter(None, (one["group"], one["version"])))
            kinds[version, one["kind"]] = {"$ref": f"#/definitions/{name}"}
    return kinds


@cache
def rook_kinds() -> dict[Kind, dict[str, Any]]:
    """The schema of each kind that Rook brings.

    Raises:
        StartError: Go is missing, or the module cannot be had.
    """
    path = go_program.files(*ROOK) / "deploy" / "examples" / "crds.yaml"
    return dict(_kinds(yaml.safe_load_all(path.read_text())))


@cache
def strimzi_kinds() -> dict[Kind, dict[str, Any]]:
    """The schema of each of the kinds of Strimzi that are used here.

    Raises:
        StartError: Java or Maven is missing, or the artefacts cannot be had.
    """
    folder = CACHE / f"strimzi-{re.findall('<version>(.*)</version>', STRIMZI.read_text())[-1]}"
    if not folder.exists():
        _generate(folder)
    return dict(_kinds(yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml")))


def _kinds(definitions: Iterable[Any]) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """The kinds that custom resource definitions define."""
    for definition in filter(None, definitions):
        spec = definition["spec"]
        for version in spec["versions"]:
            kind = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            yield kind, version["schema"]["openAPIV3Schema"]


def _generate(folder: Path) -> None:
    java, jars = _java(), CACHE / "strimzi.classpath"
    if not shutil.which("mvn"):
        raise StartError("Strimzi's schemas come from Maven: install it, so that mvn runs.")
    CACHE.mkdir(parents=True, exist_ok=True)
    goal = ["dependency:build-classpath", f"-Dmdep.outputFile={jars}"]
    done = _run(["mvn", "-q", "-B", "-f", str(STRIMZI), *goal])
    if done.returncode:
        raise StartError(f"Maven could not fetch Strimzi: {done.stdout[-400:]}")
    made = folder.with_suffix(".part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    targets = [
        f"io.strimzi.api.kafka.model.{name}={made / kind}.yaml"
        for kind, name in STRIMZI_KINDS.items()
    ]
    generator = "io.strimzi.crdgenerator.CrdGenerator"
    done = _run([str(java), "-cp", jars.read_text().strip(), generator, "--yaml", *targets])
    if done.returncode:
        raise StartError(f"Strimzi's generator failed: {done.stderr[-400:]}")
    made.rename(folder)


def _java() -> Path:
    """A Java that is new enough: the one that runs, or one that is installed beside it."""
    places = [Path(os.environ["JAVA_HOME"], "bin", "java")] if "JAVA_HOME" in os.environ else []
    places += [Path(found)] if (found := shutil.which("java")) else []
    places += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    for java in filter(Path.exists, places):
        told = re.search(r'version "(\d+)', _run([str(java), "-version"]).stderr)
        if told and int(told[1]) >= STRIMZI_JAVA:
            return java
    raise StartError(f"Strimzi's generator needs Java {STRIMZI_JAVA} or later.")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
