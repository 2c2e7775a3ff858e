"""The `facetron-eval` program: one file per subcommand in `evaluation.commands`."""

from __future__ import annotations

import click

from manifests.console import LazyGroup, run

COMMANDS = {
    "import": "evaluation.commands.import_run:import_run",
    "export": "evaluation.commands.export:export",
    "score": "evaluation.commands.score:score",
    "report": "evaluation.commands.report:report",
    "compare": "evaluation.commands.compare:compare",
    "judges": "evaluation.commands.judges:judges",
    "literature": "evaluation.commands.literature:literature",
    "embeddings": "evaluation.commands.embeddings:embeddings",
    "mos": "evaluation.commands.mos:mos",
    "train": "evaluation.commands.train:train",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facetron-toolkit")
def cli() -> None:
    """Score synthesized speech against its recordings: from run directories to scores and tables."""


def main() -> None:
    run(cli, "facetron-eval")


if __name__ == "__main__":
    main()
