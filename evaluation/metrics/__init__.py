"""Metrics, one file a family, behind one registry."""
