"""Prometheus with the stack's rules, and the exporter that gets Airflow's metrics from StatsD.

Prometheus and promtool are the installed ones. Without them, Debian's package is unpacked into the
cache. The exporter is built with Go.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import yaml

from include.servers.base import ProcessServer
from include.servers.processes import StartError, free_port
from include.servers.real import CACHE
from include.servers.real.debian_packages import unpack_packages
from include.servers.real.go_program import STATSD_EXPORTER, build_program

CONFIG = Path(__file__).resolve().parents[3] / "config" / "metrics"
"""The configuration of the stack's Prometheus and exporter, and the rules."""


def find_program(name: str) -> Path:
    """Return the path of ``prometheus`` or ``promtool``.

    Raises:
        StartError: the program is not installed, and Debian's package cannot be downloaded.
    """
    if installed := shutil.which(name):
        return Path(installed)
    folder = CACHE / "prometheus"
    program = folder / "usr" / "bin" / name
    if not program.exists():
        purpose = f"Prometheus is missing: install it, so that {name} runs"
        with suppress(StartError):  # Only since Debian 13, promtool is a package of its own.
            unpack_packages((name,), folder, purpose)
        if not program.exists():
            unpack_packages(("prometheus",), folder, purpose)
    return program


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.HTTPError:
        return False


@dataclass
class StatsdExporter(ProcessServer):
    """The exporter with the stack's mapping."""

    name: ClassVar[str] = "statsd_exporter"
    timeout: ClassVar[float] = 30.0

    home: Path
    statsd_port: int = field(default_factory=free_port)
    """The UDP port that Airflow sends to."""
    web_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """The address at which Prometheus gets the metrics."""
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def log(self) -> Path:
        """The log of the exporter."""
        return self.home / "statsd_exporter.log"

    def command(self) -> list[str]:
        """Return the command that runs the exporter."""
        return [
            str(build_program(*STATSD_EXPORTER)),
            f"--statsd.mapping-config={CONFIG / 'statsd.yaml'}",
            f"--statsd.listen-udp=127.0.0.1:{self.statsd_port}",
            "--statsd.listen-tcp=",
            f"--web.listen-address=127.0.0.1:{self.web_port}",
        ]

    def answers(self) -> bool:
        """Return whether the exporter is ready."""
        return _is_ready(self.url)


@dataclass
class Prometheus(ProcessServer):
    """Prometheus with the stack's configuration, for an exporter on this machine."""

    name: ClassVar[str] = "prometheus"
    timeout: ClassVar[float] = 30.0

    home: Path
    exporter: StatsdExporter
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """The address of Prometheus."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The log of Prometheus."""
        return self.home / "prometheus.log"

    def prepare(self) -> None:
        """Write the stack's configuration with the addresses of this machine."""
        config: dict[str, Any] = yaml.safe_load((CONFIG / "prometheus.yaml").read_text())
        config["rule_files"] = [str(CONFIG / name) for name in config["rule_files"]]
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{self.exporter.web_port}"]}]
        self.home.mkdir(parents=True, exist_ok=True)
        self._config.write_text(yaml.safe_dump(config))

    def command(self) -> list[str]:
        """Return the command that runs Prometheus."""
        return [
            str(find_program("prometheus")),
            f"--config.file={self._config}",
            f"--storage.tsdb.path={self.home / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def answers(self) -> bool:
        """Return whether Prometheus is ready."""
        return _is_ready(self.url)

    @property
    def _config(self) -> Path:
        return self.home / "prometheus.yaml"
