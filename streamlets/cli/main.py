"""The `streamlets` command."""
