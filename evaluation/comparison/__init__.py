"""Comparison of two systems on the same clips."""
