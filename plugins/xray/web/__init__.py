"""What the API server serves beside Airflow's own pages."""
