"""Examples: whole applications, each with its blueprint test."""
