"""DVC experiments that a command runs, each in its own clone."""
