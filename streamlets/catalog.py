"""The catalog: every streamlet that a blueprint can name, for the linter and for the engine."""
