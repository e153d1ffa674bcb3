"""Chest X-rays from an object store to a scored, annotated and anonymised result.

The plain packages and modules can be read and tested without Airflow. Only
:mod:`xray.airflow` and :mod:`xray.web` import it.
"""

VERSION = "0.2.0.dev0"
"""The version: of a release as CHANGELOG.md names it; ``.dev0`` before the next one."""
