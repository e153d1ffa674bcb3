"""The programs that ``docker-compose.yaml`` runs beside Airflow, in the project's own image."""
