"""Synthesis: from the clips of a manifest to a run directory."""
