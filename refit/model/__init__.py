"""The encoder with its classification head, and how it predicts."""
