"""Training (IV): one loop, one file a stage."""
