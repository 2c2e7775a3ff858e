"""The subcommands of `facetron`, one file per subcommand."""
