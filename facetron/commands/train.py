"""`facetron train`: trains the stages of a system on a manifest and writes checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

import click

from facetron import systems
from facetron.commands.options import config_option, set_option, size_option
from manifests.errors import BadInput
from manifests.outputs import Command


@click.command(cls=Command)
@click.argument("stage")
@click.option(
    "--system", default=systems.DEFAULT, show_default=True, help="Name of the system to train."
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="manifest.jsonl, or the folder of a `gridprep build`, or of a `gridprep export` to webdataset.",
)
@click.option(
    "--speech",
    type=click.Path(path_type=Path),
    help="For the stage prosody, in the place of --manifest: any folder SPEAKER/FILE.wav.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@size_option
@config_option
@set_option("train.epochs=30 or lip=small")
@click.option(
    "--from",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Checkpoint to take trained parts from, or a file of `facetron published`; may be given "
    "several times.",
)
@click.option("--restart", is_flag=True, help="Start anew even if --out holds an earlier run.")
def train(
    stage: str,
    system: str,
    manifest: Path | None,
    speech: Path | None,
    out: Path,
    size: str | None,
    file: Path | None,
    sets: tuple[str, ...],
    sources: tuple[Path, ...],
    restart: bool,
) -> None:
    """Trains one STAGE of a system, or all of them in order.

    The stages of facetron are lip, prosody, face, decoder, vocoder and joint. For the stages of
    another system, give a name that does not exist: the error lists them.

    A run that was stopped continues when the same command is given again. On several GPUs:
    torchrun --nproc-per-node N -m facetron.cli train …
    """
    if (manifest is None) == (speech is None):
        raise BadInput("a training needs --manifest or --speech", "give one of the two")
    if speech is not None and stage != "prosody":
        raise BadInput(
            f"the stage {stage} cannot learn from --speech, which has no faces and no lips",
            "give --manifest, or train the stage prosody",
        )
    # `facetron --help` must not wait for PyTorch.
    from facetron.train.run import train as run

    if speech is not None:
        manifest = _speech_manifest(speech, out, size, file, sets, system)
    assert manifest is not None

    best = run(
        stage,
        manifest,
        out,
        size,
        file,
        sets,
        sources,
        restart,
        lambda line: click.echo(line, err=True),
        system,
    )
    if os.environ.get("RANK", "0") == "0":  # under torchrun every process comes here
        click.echo(best)


def _speech_manifest(
    speech: Path, out: Path, size: str | None, file: Path | None, sets: tuple[str, ...], system: str
) -> Path:
    """Makes the mels of a folder of speech below `out`. Under torchrun the first process does it, and
    the others find them made."""
    from facetron.train.config import train_config
    from facetron.train.speech_folder import MANIFEST, speech_manifest

    model, _ = train_config("prosody", size, file, sets, system)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not (out / "speech" / MANIFEST).exists():
        raise BadInput(
            "--speech with several processes needs its mels made before",
            "start the command once without torchrun, stop it at the first epoch, and start it again",
        )
    path, problems = speech_manifest(speech, out / "speech", model.mel_spec)
    for problem in problems:
        click.echo(problem, err=True)
    return path
