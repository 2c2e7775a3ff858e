"""The `facetron` program: one subcommand a file in `facetron.commands`."""

from __future__ import annotations

import click

from manifests.console import LazyGroup, run

COMMANDS = {
    "export": "facetron.commands.export:export",
    "embed": "facetron.commands.embed:embed",
    "info": "facetron.commands.info:info",
    "page": "facetron.commands.page:page",
    "resynth": "facetron.commands.resynth:resynth",
    "speak": "facetron.commands.speak:speak",
    "synthesize": "facetron.commands.synthesize:synthesize",
    "train": "facetron.commands.train:train",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facetron-toolkit")
def cli() -> None:
    """From a manifest of features to run directories of speech."""


def main() -> None:
    run(cli, "facetron")


if __name__ == "__main__":
    main()
