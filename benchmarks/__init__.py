"""Measurements: speed as ratios within one run, formats and settings as tables."""
