"""Contracts that are not JSON Schema by nature: Avro and Protobuf, each read, shown as JSON Schema, and compared."""
