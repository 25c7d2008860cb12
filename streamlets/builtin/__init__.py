"""Built-in streamlets: one file each, named as the blueprint names it."""
