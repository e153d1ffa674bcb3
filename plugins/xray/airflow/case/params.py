"""The params of the DAGs of a case, as Airflow shows and checks them."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from xray.airflow import config
from xray.settings import case_settings


def _param(default: Any, **schema: Any) -> Param:
    """Return a param with the schema of an older draft of JSON Schema.

    Airflow checks the schemas of all params when a run is started and in each of its tasks. That of
    the newest draft would take more than twice the time.
    """
    return Param(default, **{"$schema": "http://json-schema.org/draft-07/schema#"}, **schema)


SOURCE_PARAMS: dict[str, Any] = {
    "bucket": _param(
        config.bucket(), type="string", minLength=3, description="The bucket of the image"
    ),
    "key": _param(
        None,
        type=["null", "string"],
        maxLength=1024,
        description="The key of the image, typed by hand. Airflow keeps a typed key as it is, in "
        "its database and its audit log: if the key names a patient, use xray_backfill instead",
    ),
    "case_id": _param(
        None,
        type=["null", "string"],
        pattern="^[0-9a-f]{32}$",
        description="The id of the case, from the listener or a job",
    ),
    "sealed": _param(
        None,
        type=["null", "string"],
        description="The sealed key of the image, from the listener or a job, in place of a key",
    ),
    "version_id": _param(None, type=["null", "string"], description="The version of the object"),
    "etag": _param(None, type=["null", "string"], description="Refuse an object with another etag"),
    "size": _param(None, type=["null", "integer"], description="Bytes, from the notification"),
    "sequencer": _param(None, type=["null", "string"], description="From the notification"),
    "event_time": _param(None, type=["null", "string"], description="From the notification"),
    "origin": _param("manual", type="string", description="The origin of the case"),
    "schema": _param(None, type=["null", "integer"], description="The version of the conf's form"),
}

FORM_PARAMS: dict[str, Any] = {
    **SOURCE_PARAMS,
    "pinned": _param({}, type="object", description="The result of fetch"),
    "scored": _param({}, type="object", description="The result of classify"),
    "request": _param(None, type=["null", "object"], description="What the person is asked"),
}

CASE_PARAMS: dict[str, Any] = {
    **SOURCE_PARAMS,
    **{
        name: _param(
            None,
            section="Settings of this case (empty: those of the deployment)",
            **{
                **schema,
                "type": ["null", schema["type"]],
                **({"enum": [None, *schema["enum"]]} if "enum" in schema else {}),
            },
        )
        for name, schema in case_settings().items()
    },
}
