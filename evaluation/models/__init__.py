"""Networks that measure speech: recognisers and quality predictors, each loaded once a process."""
