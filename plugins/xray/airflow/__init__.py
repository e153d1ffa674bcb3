"""What touches Airflow: the sensor and its trigger, the client that starts runs, the tasks."""
