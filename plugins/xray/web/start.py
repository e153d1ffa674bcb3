"""The runs that a page starts: their ids and confs, with everything sealed that names an object.

The page's script sends them to Airflow's API with the login of the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from xray.airflow import config
from xray.case import RUN_PREFIX, Source
from xray.case.known import Known
from xray.errors import SettingsError
from xray.pseudonym import Keyring
from xray.settings import case_settings
from xray.web.pages import HEADERS


def again(known: Known, settings: Mapping[str, Any]) -> JSONResponse:
    """Return the run of a new case of the same image.

    Args:
        known: what the store knows of the case.
        settings: of the new case, where they are not the deployment's.

    Raises:
        HTTPException: 404 if nothing names the object, 422 if a setting is wrong.
    """
    if known.source is None:
        raise HTTPException(404, "Nothing names the object of this case any more.")
    try:
        if unknown := sorted(set(settings) - set(case_settings())):
            raise SettingsError(f"A case has no setting {unknown[0]!r} of its own.")
        config.settings(settings)
    except SettingsError as error:
        raise HTTPException(422, str(error)) from None
    upload = f"again {datetime.now(UTC).isoformat()}"
    source = replace(known.source, origin="manual", sequencer=upload)
    case_id, run = prepared(source, config.keyring(), settings)
    return JSONResponse({"case_id": case_id, "run": run}, headers=HEADERS)


def prepared(
    source: Source, keyring: Keyring, settings: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return the id of a new case, and the body of the request to Airflow that starts its run."""
    conf = source.to_conf(keyring)
    case_id = conf["case_id"]
    run = {
        "dag_run_id": f"{RUN_PREFIX}{case_id}",
        "logical_date": None,
        "conf": {**conf, **(settings or {})},
    }
    return case_id, run
