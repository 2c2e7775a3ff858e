"""One file a subcommand of `facetron-eval`."""
