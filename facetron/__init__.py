"""Facetron: a multi-speaker face-to-speech model (Um, Kim, Lee, Kang), and its baselines."""
