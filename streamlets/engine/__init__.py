"""The engine: deliveries are opened, segments become settled, their emits are released."""
