"""Embedded servers, from wheels: a Kafka broker, PostgreSQL and S3."""
