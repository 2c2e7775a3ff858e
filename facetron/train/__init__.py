"""Training (IV): one loop for all stages, and one file per stage."""
