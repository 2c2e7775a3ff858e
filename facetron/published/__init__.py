"""Weights that others published, under their own names."""
