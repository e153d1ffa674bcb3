"""The listener: Kafka messages in, one DAG run per notification out."""
