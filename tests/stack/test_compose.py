"""docker-compose.yaml: every profile is valid and agrees with the rest of the repository"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from include.servers.real.go_program import COMPOSE, STATSD_EXPORTER, build_program
from include.stack import env_file
from tests.support import ROOT
from xray.airflow.connections import check_kafka_connection

pytestmark = pytest.mark.timeout(1800)  # The first test builds Compose.
PROFILES = ["", "kafka-ui", "metrics", "celery", "events", "check", "*"]
JOBS = {"airflow-init", "setup", "uploader", "check"}
"""Services that end when their work is done."""
UNCHECKED = {"events", "kafka-ui"}
"""Services without a health check, because no other service depends on them."""


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """Return the command of Docker Compose: the plugin, or the program built from source."""
    if shutil.which("docker"):
        asked = ["docker", "compose", "version", "--short"]
        output = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
        if re.match(r"v?2\.(2[4-9]|[3-9]\d)\.", output):
            return ["docker", "compose"]
    if not shutil.which("go"):
        pytest.skip("there is neither Docker Compose 2.24 or later nor Go to build it with")
    return [str(build_program(*COMPOSE))]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of secrets, as make env-file writes it."""
    path = tmp_path_factory.mktemp("env") / ".env"
    env_file.add_missing(path)
    return path


def run(compose: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Compose on this project's file, without the caller's environment and .env."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [*compose, "--project-directory", str(ROOT), *arguments]
    return subprocess.run(command, env=kept, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services(compose: list[str], secrets: Path) -> dict[str, Any]:
    """Return every service of every profile, as Compose resolves it."""
    arguments = ["--env-file", str(secrets), "--profile", "*", "config", "--format", "json"]
    found: dict[str, Any] = json.loads(run(compose, *arguments).stdout)["services"]
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_valid(compose: list[str], secrets: Path, profile: str) -> None:
    chosen = ["--profile", profile] if profile else []
    done = run(compose, "--env-file", str(secrets), *chosen, "config", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_these_are_all_profiles(services: dict[str, Any]) -> None:
    used = {profile for service in services.values() for profile in service.get("profiles", ())}
    assert used == {profile for profile in PROFILES if profile not in ("", "*")}


@pytest.mark.parametrize("missing", sorted(env_file.SECRETS))
def test_it_refuses_to_start_without_a_secret(
    compose: list[str], secrets: Path, tmp_path: Path, missing: str
) -> None:
    lines = secrets.read_text().splitlines()
    less = tmp_path / ".env"
    less.write_text("\n".join(line for line in lines if not line.startswith(f"{missing}=")))
    done = run(compose, "--env-file", str(less), "config", "--quiet")
    assert done.returncode != 0
    assert missing in done.stderr
    assert "run make env-file first" in done.stderr


def test_no_secret_has_a_default() -> None:
    """Only variables that are not secrets may have a default."""
    text = (ROOT / "docker-compose.yaml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", text))
    optional = set(re.findall(r"\$\{(\w+):-", text))
    assert required == set(env_file.SECRETS)
    assert optional == {
        "AIRFLOW_EXECUTOR",
        "AIRFLOW_PARALLELISM",
        "XRAY_IMAGES",
        "XRAY_PER_MINUTE",
    }


def test_images_are_pinned(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if service["image"] != "xray-airflow:local":
            tag = service["image"].rpartition(":")[2]
            assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[\w.]+)?", tag), name


def test_ports_are_published_on_the_loopback_address_only(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    published = [port["published"] for port in ports]
    assert len(published) == len(set(published)), "no port is published twice"


def test_each_service_has_limits_and_restarts(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert int(service["mem_limit"]) > 0, name
        assert service["logging"]["options"].keys() >= {"max-size", "max-file"}, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        ends = {"check": "no"}.get(name, "on-failure" if name in JOBS else "unless-stopped")
        assert service["restart"] == ends, name
        assert ("healthcheck" in service) == (name not in JOBS | UNCHECKED), name


def test_mounts_from_the_checkout_exist_and_are_read_only(
    services: dict[str, Any],
) -> None:
    mounts = [mount for service in services.values() for mount in service.get("volumes", ())]
    bound = [mount for mount in mounts if mount["type"] == "bind"]
    assert bound
    for mount in bound:
        assert mount["read_only"]
        assert Path(mount["source"]).exists()


@pytest.fixture
def airflow(services: dict[str, Any]) -> dict[str, Any]:
    """Return the environment of each component of Airflow."""
    names = [name for name in services if name.startswith("airflow-")]
    assert len(names) == 6
    return {name: services[name]["environment"] for name in names}


def test_airflow_has_the_shared_settings(airflow: dict[str, Any]) -> None:
    lines = (ROOT / "config" / "airflow.env").read_text().splitlines()
    shared = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert shared
    for name, environment in airflow.items():
        assert {key: environment.get(key) for key in shared} == shared, name


def test_the_components_of_airflow_have_the_same_environment(airflow: dict[str, Any]) -> None:
    own = {"XRAY_PASSWORDS", "DUMB_INIT_SETSID"}
    kept = [
        {name: value for name, value in environment.items() if name not in own}
        for environment in airflow.values()
    ]
    assert all(environment == kept[0] for environment in kept)


def test_connections_are_as_the_pipeline_wants_them(airflow: dict[str, Any], secrets: Path) -> None:
    environment = airflow["airflow-scheduler"]
    known = dict(line.split("=", 1) for line in secrets.read_text().splitlines()[1:])
    store = json.loads(environment["AIRFLOW_CONN_XRAY_S3"])
    assert store["password"] == known["S3_SECRET_KEY"]
    check_kafka_connection(json.loads(environment["AIRFLOW_CONN_XRAY_KAFKA"])["extra"])
    api = json.loads(environment["AIRFLOW_CONN_XRAY_API"])
    passwords = json.loads(airflow["airflow-api-server"]["XRAY_PASSWORDS"])
    assert passwords[api["login"]] == api["password"] == known["AIRFLOW_SERVICE_PASSWORD"]
    users = environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")
    assert {user.split(":")[0] for user in users} == set(passwords)


def test_versions_agree_with_what_the_tests_use(services: dict[str, Any]) -> None:
    pom = (ROOT / "include" / "servers" / "real" / "pom.xml").read_text()
    kafka = re.findall(r"<version>(\d+\.\d+\.\d+)</version>", pom)
    assert [services["kafka"]["image"]] == [f"apache/kafka:{version}" for version in kafka]
    exporter = services["statsd-exporter"]["image"].rpartition(":")[2]
    assert exporter == STATSD_EXPORTER[1]


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def test_the_image_has_the_locks_own_versions_and_no_tensorflow() -> None:
    image, production = pins("requirements-image.txt"), pins("requirements.txt")
    assert {name: production.get(name) for name in image} == image
    assert "tensorflow" in production.keys() - image.keys()
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"apache/airflow:slim-{image['apache-airflow']}-python3.11" in dockerfile


def test_the_locked_celery_is_one_that_airflow_can_run_on() -> None:
    import_module("airflow.providers.celery.executors.celery_executor")
    import_module("airflow.providers.celery.executors.celery_executor_utils")


def test_cephs_start_script_parses() -> None:
    script = ROOT / "config" / "ceph" / "start.sh"
    subprocess.run(["bash", "-n", script], check=True)


def test_what_removes_the_stack_names_all_profiles() -> None:
    """Without a profile, Compose keeps its containers and volumes, and the network."""
    text = (ROOT / "docs" / "local-stack.md").read_text()
    commands = re.findall(r"`(docker compose[^`]* down)\b", text)
    assert commands
    assert set(commands) == {'docker compose --profile "*" down'}
