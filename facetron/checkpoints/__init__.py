"""Reads, writes and exports checkpoints, and finds the weights that come with the package."""
