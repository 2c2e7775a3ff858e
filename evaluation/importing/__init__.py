"""Import of other people's speech as a run directory."""
