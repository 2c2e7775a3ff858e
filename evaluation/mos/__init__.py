"""Listening tests (MOS, SMOS): design, pages, scores."""
