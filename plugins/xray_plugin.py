"""The Airflow plugin: mounts the app of :mod:`xray.web`, and keeps the index of the cases."""

from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request with the real app, which the first request imports.

    Every process of Airflow loads the plugins, and only the API server needs the app.
    """
    from xray.web.app import app as real

    await real(scope, receive, send)


class RunListener:
    """Hands the changes of runs' states to :mod:`xray.airflow.index.run_listener`.

    Airflow calls it in the scheduler, and in the API server if a person changes the state.
    """

    @hookimpl
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:
        """Tell the index that a run has started."""
        from xray.airflow.index import run_listener

        run_listener.running(dag_run)

    @hookimpl
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        """Tell the index that a run has succeeded."""
        from xray.airflow.index import run_listener

        run_listener.success(dag_run)

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        """Tell the index that a run has failed."""
        from xray.airflow.index import run_listener

        run_listener.failed(dag_run)


class XrayPlugin(AirflowPlugin):
    """Serves the pages of the cases and their pictures."""

    name = "xray"
    listeners = [RunListener()]  # noqa: RUF012
    # The prefix is xray.airflow.addresses.PLUGIN_PREFIX, which a plugin must not import.
    fastapi_apps = [{"app": app, "url_prefix": "/xray", "name": "xray"}]  # noqa: RUF012
    # Relative, because Airflow may be served under a path.
    external_views = [  # noqa: RUF012
        {
            "name": "Cases",
            "href": "xray/cases",
            "destination": "nav",
            "url_route": "cases",
            "icon": "xray/static/cases.svg",
            "icon_dark_mode": "xray/static/cases-dark.svg",
        },
        {
            "name": "Case",
            "href": "xray/runs/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "case",
        },
        {
            "name": "Waiting",
            "href": "xray/waiting",
            "destination": "nav",
            "category": "browse",
            "url_route": "waiting",
        },
    ]
