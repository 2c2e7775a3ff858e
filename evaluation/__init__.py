"""Scores and tables for any model's speech; never imports `facetron`."""
