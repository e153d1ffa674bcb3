"""Chest X-rays from an object store to a scored, annotated and anonymised result.

The modules here know no Airflow and can be read and tested without it; what
touches Airflow stands in :mod:`xray.airflow`.
"""
