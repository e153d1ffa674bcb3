"""Real servers for tests and benchmarks: Kafka, Redis, and S3 gateways that announce."""
