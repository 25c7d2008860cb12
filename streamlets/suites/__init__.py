"""Suites that every transport, model-server protocol and streamlet must pass; users run them on theirs."""
