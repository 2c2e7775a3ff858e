"""`facetron speak`: a video with a face gets a voice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facetron.vocoders.registry import AUTO, VOCODERS
from manifests.errors import BadInput
from manifests.outputs import Command

if TYPE_CHECKING:
    from facetron.video.speak import SpeakOutcome, SpeakRequest

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("video", type=FILE)
@click.option("--out", type=FILE, required=True, help="MP4 to write.")
@click.option(
    "--face",
    type=FILE,
    default=None,
    help="Picture or video of whom it is to sound like; the video's own face by default.",
)
@click.option("--wav", type=FILE, default=None, help="Write the sound alone here as well.")
@click.option(
    "--text",
    "decoding",
    type=click.Choice(["greedy", "beam", "grammar"]),
    default="greedy",
    show_default=True,
    help="How lips are spelt out; grammar knows GRID's sentences only.",
)
@click.option(
    "--checkpoint",
    type=click.Path(),
    default="grid-s1",
    show_default=True,
    help="Bundled weights, or a file.",
)
@click.option(
    "--vocoder",
    type=click.Choice([AUTO, *VOCODERS]),
    default=AUTO,
    show_default=True,
    help="What turns the mel into sound.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option(
    "--who",
    default="",
    metavar="left|right|largest|N",
    help="Whose lips in VIDEO where it shows several faces, N from the left; the most central and "
    "large one by default.",
)
@click.option("--landmarks", default="", help="Landmark backend; facemesh by default.")
@click.option(
    "--landmark-option",
    "landmark_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the landmark backend, e.g. fan_weights=PATH.",
)
def speak(
    video: Path,
    out: Path,
    face: Path | None,
    wav: Path | None,
    decoding: str,
    checkpoint: str,
    vocoder: str,
    device: str,
    who: str,
    landmarks: str,
    landmark_options: tuple[str, ...],
) -> None:
    """Reads the lips in VIDEO and writes it again with the speech that they and the face make.

    Any format, size, length up to ten minutes and frame rate; sound that is in it is not heard and
    is replaced. Prints what was read.
    """
    # `facetron --help` imports every command and must not wait for PyTorch.
    from facetron.synthesis.base import load_synthesizer
    from facetron.video import speak as speaking
    from facetron.video.align import Aligner

    request = speaking.SpeakRequest(video, out, face, wav)
    speaking.check(request)
    options = dict(_pair(text) for text in landmark_options)
    synthesizer = load_synthesizer(checkpoint, vocoder, device, decoding)  # type: ignore[arg-type]
    aligner = Aligner(landmarks, options, who)
    try:
        outcome = speaking.speak(request, synthesizer, aligner)
    finally:
        aligner.close()
    for note in outcome.notes:
        click.echo(note, err=True)
    for line in _lines(request, outcome):
        click.echo(line)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadInput(f"--landmark-option {text!r}", "write NAME=VALUE")
    return name, value


def _lines(request: SpeakRequest, outcome: SpeakOutcome) -> list[str]:
    steps = ", ".join(f"{step} {took_s:.2f}" for step, took_s in outcome.took_s.items())
    pictures = "as they were" if outcome.pictures_copied else "encoded again as H.264"
    written = [str(request.out), *([str(request.wav)] if request.wav else [])]
    return [
        f"read: {outcome.text or '(nothing)'}",
        f"voice: from {outcome.face}",
        f"wrote {' and '.join(written)}: {outcome.speech_s:.2f} s of speech in "
        f"{sum(outcome.took_s.values()):.2f} s ({steps}); pictures {pictures}",
    ]
