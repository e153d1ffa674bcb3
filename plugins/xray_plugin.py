"""The Airflow plugin: mounts the app of :mod:`xray.web` on the API server."""

from typing import Any

from airflow.plugins_manager import AirflowPlugin


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request with the real app, which the first request imports.

    Every process of Airflow loads the plugins, and only the API server needs the app.
    """
    from xray.web.app import app as real

    await real(scope, receive, send)


class XrayPlugin(AirflowPlugin):
    """Serves the cases that wait for a person: the page with all of them, and their pictures."""

    name = "xray"
    # The prefix is xray.airflow.addresses.PLUGIN_PREFIX, which a plugin must not import.
    fastapi_apps = [{"app": app, "url_prefix": "/xray", "name": "xray"}]  # noqa: RUF012
    # Relative, because Airflow may be served under a path.
    external_views = [  # noqa: RUF012
        {
            "name": "Waiting",
            "href": "xray/waiting",
            "destination": "nav",
            "category": "browse",
            "url_route": "waiting",
        }
    ]
