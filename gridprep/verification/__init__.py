"""Verification of a corpus by the checks of a build."""
