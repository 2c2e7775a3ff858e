"""Drawing: from the speech of a manifest's clips to a run directory of faces."""
