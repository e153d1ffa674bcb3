"""Real servers for tests and benchmarks: Apache Kafka, and S3 gateways that push to it."""
