"""Scores, their intervals, calibration, and whether a difference is real."""
