"""Benchmarks: ratios to something measured in the same run, medians of several runs in turn. Nothing here is a test."""
