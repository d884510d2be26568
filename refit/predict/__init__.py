"""Predict with a fine-tuned model."""
