"""The subcommands of `facetron-eval`, one file each."""
