"""Orthanc, a PACS: one server on a free port, which speaks DICOMweb and requires a login.

The server and its plugins are the installed ones: see :data:`INSTALL`.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx

from include.servers.base import ProcessServer
from include.servers.processes import free_port

PROGRAM = "Orthanc"
PLUGINS = Path("/usr/share/orthanc/plugins")
PYTHON = "libOrthancPython.so"
"""The plugin that runs scripts."""
INSTALL = "Orthanc is not installed: apt-get install orthanc orthanc-dicomweb orthanc-python"


def is_installed() -> bool:
    """Return whether this machine has Orthanc and its plugins for DICOMweb and Python."""
    files = (PLUGINS / name for name in ("libOrthancDicomWeb.so", PYTHON))
    return bool(shutil.which(PROGRAM)) and all(file.exists() for file in files)


@dataclass
class Orthanc(ProcessServer):
    """An Orthanc without DICOM's own network protocol.

    ``config`` is added to its configuration, and ``plugins`` are loaded beside DICOMweb.
    """

    name: ClassVar[str] = "orthanc"

    home: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    env: Mapping[str, str] | None = None
    port: int = field(default_factory=free_port)
    login: str = "xray"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def url(self) -> str:
        """The address of the DICOMweb service."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def page(self) -> str:
        """The address of the page for people."""
        return f"http://127.0.0.1:{self.port}/app/explorer.html"

    @property
    def connection(self) -> str:
        """The Airflow connection ``xray_pacs``, in JSON."""
        return json.dumps(
            {
                "conn_type": "http",
                "host": self.url,
                "login": self.login,
                "password": self.password,
            }
        )

    def rest(self, path: str) -> Any:
        """Return the answer of Orthanc's own API."""
        return self._ask("GET", path).json()

    def files(self) -> list[bytes]:
        """Return all instances that the server has, as DICOM files."""
        return [
            self._ask("GET", f"instances/{name}/file").content for name in self.rest("instances")
        ]

    def upload(self, data: bytes) -> str:
        """Let the server have an instance, and return Orthanc's own id of it."""
        return str(self._ask("POST", "instances", content=data).json()["ID"])

    def delete(self, name: str) -> None:
        """Delete the instance with an id of Orthanc's own."""
        self._ask("DELETE", f"instances/{name}")

    @property
    def log(self) -> Path:
        """The log of the server."""
        return self.home / "orthanc.log"

    def command(self) -> list[str]:
        """Return the command that runs the server."""
        return [PROGRAM, str(self._file)]

    def prepare(self) -> None:
        """Write the configuration."""
        self.home.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(self.home / "storage"),
            "IndexDirectory": str(self.home / "storage"),
            "HttpPort": self.port,
            "HttpBindAddresses": ["127.0.0.1"],
            "DicomServerEnabled": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.login: self.password},
            "Plugins": [str(PLUGINS / name) for name in ("libOrthancDicomWeb.so", *self.plugins)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **self.config,
        }
        self._file.touch(mode=0o600)
        self._file.write_text(json.dumps(settings, indent=1))

    def answers(self) -> bool:
        """Return whether the server answers."""
        try:
            self.rest("system")
        except httpx.HTTPError:
            return False
        return True

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        address = f"http://127.0.0.1:{self.port}/{path}"
        login = (self.login, self.password)
        return httpx.request(method, address, auth=login, timeout=30, **options).raise_for_status()

    @property
    def _file(self) -> Path:
        return self.home / "orthanc.json"
