"""Checkpoints: reading, writing, exporting, and the weights that come with the package."""
