"""Functions as streamlets: type hints are contracts; one event, async, or a batch at a time."""
