"""Inputs of the evaluation: runs, recordings, builds, texts and the user's settings."""
