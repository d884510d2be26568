"""What the stages are made of, one concept a file."""
