"""The program `facetron`; each subcommand has its file in `facetron.commands`."""

from __future__ import annotations

import click

from manifests.console import LazyGroup, run

COMMANDS = {
    "calibrate": "facetron.commands.calibrate:calibrate",
    "draw": "facetron.commands.draw:draw",
    "export": "facetron.commands.export:export",
    "embed": "facetron.commands.embed:embed",
    "info": "facetron.commands.info:info",
    "page": "facetron.commands.page:page",
    "published": "facetron.commands.published:published",
    "resynth": "facetron.commands.resynth:resynth",
    "speak": "facetron.commands.speak:speak",
    "synthesize": "facetron.commands.synthesize:synthesize",
    "train": "facetron.commands.train:train",
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facetron-toolkit")
def cli() -> None:
    """Trains face-to-speech models and synthesizes speech from silent video.

    `train` reads the manifest of a `gridprep build` and writes checkpoints; `synthesize` and
    `resynth` write run directories, which `facetron-eval` scores; `speak` takes any video. `draw` is
    the reverse: faces from speech, by the systems that make them.
    """


def main() -> None:
    run(cli, "facetron")


if __name__ == "__main__":
    main()
