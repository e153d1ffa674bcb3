"""The schemas of the Kubernetes manifests in ``deploy/``, from the packages that publish them.

The schemas of Kubernetes and Rook are in their Go modules. Those of Strimzi are written by the
generator among its Maven artefacts, which needs Java 21. Each package is downloaded once, into the
cache of Go, Maven or this project.
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

from include.servers.processes import StartError, run_program
from include.servers.real import CACHE, maven
from include.servers.real.go_program import download_module

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
"""Kinds, and the classes that define them in ``io.strimzi.api.kafka.model``."""
Kind = tuple[str, str]
"""The API version and the name of a kind: ``("apps/v1", "Deployment")``."""


@cache
def kubernetes() -> dict[str, Any]:
    """Return Kubernetes' own definitions by name, such as ``io.k8s.api.core.v1.Secret``.

    Raises:
        StartError: Go is missing, or the module cannot be downloaded.
    """
    swagger = download_module(*KUBERNETES) / "api" / "openapi-spec" / "swagger.json"
    definitions: dict[str, Any] = json.loads(swagger.read_text())["definitions"]
    return definitions


@cache
def kubernetes_kinds() -> dict[Kind, dict[str, Any]]:
    """Return the schema of each kind that is part of Kubernetes."""
    kinds = {}
    for name, definition in kubernetes().items():
        for one in definition.get("x-kubernetes-group-version-kind", ()):
            version = "/".join(filter(None, (one["group"], one["version"])))
            kinds[version, one["kind"]] = {"$ref": f"#/definitions/{name}"}
    return kinds


@cache
def rook_kinds() -> dict[Kind, dict[str, Any]]:
    """Return the schema of each kind that Rook defines.

    Raises:
        StartError: Go is missing, or the module cannot be downloaded.
    """
    path = download_module(*ROOK) / "deploy" / "examples" / "crds.yaml"
    return dict(_kinds(yaml.safe_load_all(path.read_text())))


@cache
def strimzi_kinds() -> dict[Kind, dict[str, Any]]:
    """Return the schema of each kind in :data:`STRIMZI_KINDS`.

    Raises:
        StartError: Java or Maven is missing, or the artefacts cannot be downloaded.
    """
    folder = CACHE / f"strimzi-{re.findall('<version>(.*)</version>', STRIMZI.read_text())[-1]}"
    if not folder.exists():
        _generate(folder)
    return dict(_kinds(yaml.safe_load(path.read_text()) for path in folder.glob("*.yaml")))


def _kinds(definitions: Iterable[Any]) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield each kind of the custom resource definitions, with its schema."""
    for definition in filter(None, definitions):
        spec = definition["spec"]
        for version in spec["versions"]:
            kind = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            yield kind, version["schema"]["openAPIV3Schema"]


def _generate(folder: Path) -> None:
    """Write Strimzi's custom resource definitions to ``folder``."""
    java, jars = _find_java(), CACHE / "strimzi.classpath"
    maven.write_class_path(STRIMZI, jars, "Strimzi")
    draft = folder.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    targets = [
        f"io.strimzi.api.kafka.model.{name}={draft / kind}.yaml"
        for kind, name in STRIMZI_KINDS.items()
    ]
    generator = "io.strimzi.crdgenerator.CrdGenerator"
    command = [str(java), "-cp", jars.read_text().strip(), generator, "--yaml", *targets]
    run_program(command, "Strimzi's generator failed")
    draft.rename(folder)


def _find_java() -> Path:
    """Return a Java of the version that Strimzi needs, on the path or installed beside it."""
    candidates = []
    if "JAVA_HOME" in os.environ:
        candidates.append(Path(os.environ["JAVA_HOME"], "bin", "java"))
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    candidates += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    for java in filter(Path.exists, candidates):
        # Java prints its version to standard error.
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
        version = re.search(r'version "(\d+)', done.stderr)
        if version and int(version[1]) >= STRIMZI_JAVA:
            return java
    raise StartError(f"Strimzi's generator needs Java {STRIMZI_JAVA} or later: install it.")
