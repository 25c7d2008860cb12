"""Streamlets: event-driven streaming inference. One blueprint, run over an embedded log or over Kafka."""

__version__ = "0.1.0"
