"""How runs are set against each other: what they were, which differences are real, and how that is shown."""
