"""The pieces of the built-in streamlet `score`."""
