"""Networks that measure speech: recognizers and quality predictors, each loaded once a process."""
