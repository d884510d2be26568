"""Scores, their intervals, and whether probabilities can be believed."""
