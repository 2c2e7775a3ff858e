"""Data files made by this project (mean face, …)."""
