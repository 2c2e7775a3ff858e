"""Media files: decoding clips, and judging what was decoded."""
