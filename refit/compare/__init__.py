"""Compare runs across git revisions and experiments."""
