"""Corpora: where the clips of a corpus lie, who speaks in them, what is said and when."""
