"""What lies between stages: files replaced whole, rows of token ids in Arrow, a manifest of all that was written."""
