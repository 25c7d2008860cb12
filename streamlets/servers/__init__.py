"""Model servers: one file a protocol, named as the blueprint names it."""
