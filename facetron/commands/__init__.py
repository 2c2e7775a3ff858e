"""One file a subcommand of `facetron`."""
