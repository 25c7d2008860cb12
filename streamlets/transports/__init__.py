"""Transports: where topics live. One file a transport; `transport.py` holds their Protocol."""
