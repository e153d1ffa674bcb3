"""The demo's PACS: an Orthanc that gets the annotated images and the reports of DICOM images."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from include.demo.verification import BUCKET, Case
from include.servers.processes import StartError
from include.servers.real import orthanc
from include.servers.real.orthanc import Orthanc
from xray.case import Buckets
from xray.image import Format

SETTINGS = {"outputs": "annotated_to_pacs", "structured_report": True}
"""The settings of the pipeline with which results go to the PACS."""


@contextmanager
def running_pacs() -> Iterator[DemoPacs]:
    """Start the PACS; afterwards, nothing of it is left.

    Raises:
        StartError: Orthanc is not installed, or does not start.
    """
    if not orthanc.is_installed():
        raise StartError(orthanc.INSTALL)
    with tempfile.TemporaryDirectory(prefix="xray-pacs-") as home, Orthanc(Path(home)) as server:
        yield DemoPacs(server)


class DemoPacs:
    """A PACS that is running.

    Args:
        server: the server.
    """

    def __init__(self, server: Orthanc) -> None:
        self._server = server

    @property
    def options(self) -> dict[str, Any]:
        """The options of a stack that sends results to the PACS."""
        connection = {"AIRFLOW_CONN_XRAY_PACS": self._server.connection}
        return {"settings": SETTINGS, "airflow_settings": connection}

    @property
    def login(self) -> str:
        """The line with the address and the login."""
        server = self._server
        return f"PACS:    [bold]{server.page}[/], user {server.login}, password {server.password}"

    def verify(self, cases: Sequence[Case]) -> tuple[str, list[str]]:
        """Return what the PACS has, in one sentence, and what is wrong with it.

        It must have exactly what the cases of DICOM images have published with names.
        """
        expected = {
            output["sha256"]
            for case in cases
            if case.format == Format.DICOM
            for output in case.outputs(Buckets(BUCKET).processed)
        }
        recorded = {one["sha256"] for case in cases for one in case.sent}
        found = [hashlib.sha256(data).hexdigest() for data in self._server.files()]
        problems = []
        if sorted(found) != sorted(expected):
            problems.append("the PACS has other instances than those that were published")
        if recorded != expected:
            problems.append("the audit records do not name what was sent to the PACS")
        return f"{len(found)} DICOM instances of {len(cases)} cases are in the PACS.", problems
