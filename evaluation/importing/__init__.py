"""Import of the speech of any system as a run directory."""
