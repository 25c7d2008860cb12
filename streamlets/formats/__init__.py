"""How events are encoded in a topic: JSON inside the application, one file for every other format."""
