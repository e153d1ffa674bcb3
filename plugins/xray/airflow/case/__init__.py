"""The steps of a case as Airflow tasks and operators."""
