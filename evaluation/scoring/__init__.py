"""Scoring: every metric of every clip, computed once."""
