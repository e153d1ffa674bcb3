"""The Airflow plugin: what this package serves in the UI."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI app, imported by its first request: every process of Airflow loads the plugins."""
    from xray.web.app import app as real

    await real(scope, receive, send)


class XrayPlugin(AirflowPlugin):
    """Serves the previews of cases that wait for a review."""

    name = "xray"
    fastapi_apps = [{"app": app, "url_prefix": "/xray", "name": "xray"}]  # noqa: RUF012
