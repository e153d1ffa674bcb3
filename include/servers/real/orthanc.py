"""Orthanc, a PACS: one server on a free port, which speaks DICOMweb and requires a login.

The server and its plugins are the installed ones: ``apt-get install orthanc orthanc-dicomweb``.
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
INSTALL = "Orthanc is not installed: apt-get install orthanc orthanc-dicomweb"


def is_installed() -> bool:
    """Return whether this machine has Orthanc and its DICOMweb plugin."""
    return bool(shutil.which(PROGRAM)) and (PLUGINS / "libOrthancDicomWeb.so").exists()


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
        return self._get(path).raise_for_status().json()

    def files(self) -> list[bytes]:
        """Return all instances that the server has, as DICOM files."""
        names = self.rest("instances")
        return [self._get(f"instances/{name}/file").raise_for_status().content for name in names]

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
            return self._get("system").status_code == 200
        except httpx.TransportError:
            return False

    def _get(self, path: str) -> httpx.Response:
        address = f"http://127.0.0.1:{self.port}/{path}"
        return httpx.get(address, auth=(self.login, self.password), timeout=30)

    @property
    def _file(self) -> Path:
        return self.home / "orthanc.json"
