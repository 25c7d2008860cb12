"""Statistics for drift and outliers: synchronous and pure; no clock, no Kafka, no asyncio."""
