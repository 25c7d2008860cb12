"""The blueprint language: YAML with line and column, model, lint, plan. Imports nothing of streamlets."""
