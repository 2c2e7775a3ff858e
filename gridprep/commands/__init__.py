"""The subcommands of `gridprep`: options in, calls out, no logic of their own."""
