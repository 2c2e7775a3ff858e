"""The subcommands of `gridprep`: they parse options and call the library."""
