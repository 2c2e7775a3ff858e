"""Training of the networks that the evaluation ships: what they saw and how, as code."""
