"""DVC experiments run for a command: in a clone of their own, or through the queue."""
