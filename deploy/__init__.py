"""Where an application runs: images, compose files, the local Kafka, Kubernetes."""
