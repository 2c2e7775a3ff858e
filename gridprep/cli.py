"""The `gridprep` program; each subcommand has its file in `gridprep.commands`."""

from __future__ import annotations

import click

from manifests.console import LazyGroup, run

COMMANDS = {
    "verify": "gridprep.commands.verify:verify",
    "align": "gridprep.commands.build:align",
    "crop": "gridprep.commands.build:crop",
    "mels": "gridprep.commands.build:mels",
    "manifest": "gridprep.commands.build:manifest",
    "build": "gridprep.commands.build:build",
    "merge": "gridprep.commands.merge:merge",
    "check": "gridprep.commands.check:check",
    "inspect": "gridprep.commands.inspect:inspect",
    "export": "gridprep.commands.export:export",
    "download": "gridprep.commands.download:download",
    "unpack": "gridprep.commands.unpack:unpack",
    "synth": "gridprep.commands.synth:synth",
    "segment": "gridprep.commands.segment:segment",
    "splits": "gridprep.commands.splits:splits",
    "models": "gridprep.commands.models:models",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facetron-toolkit")
def cli() -> None:
    """Prepares corpora for training: from a folder of clips to checked features with provenance."""


def main() -> None:
    run(cli, "gridprep")


if __name__ == "__main__":
    main()
