"""`facetron speak`: synthesizes speech for a video of a face and writes the video with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from facetron.commands.options import BUNDLED, decoding_option, device_option, vocoder_options
from manifests.console import pairs_of
from manifests.outputs import Command

if TYPE_CHECKING:
    from facetron.video.speak import SpeakOutcome, SpeakRequest

FILE = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("video", type=FILE)
@click.option("--out", type=FILE, required=True, help="MP4 file to write.")
@click.option(
    "--face",
    type=FILE,
    default=None,
    help="Picture or video of the face that determines the voice; by default the face in VIDEO.",
)
@click.option("--wav", type=FILE, default=None, help="WAV file to write the speech to as well.")
@decoding_option("--text", "decoding")
@click.option(
    "--checkpoint",
    type=click.Path(),
    default="grid-s1",
    show_default=True,
    help=BUNDLED,
)
@vocoder_options
@device_option
@click.option(
    "--who",
    default="",
    metavar="left|right|largest|N",
    help="Face to take where VIDEO shows several; N counts from the left. By default the most "
    "central and large one.",
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
    vocoder_checkpoint: str,
    device: str,
    who: str,
    landmarks: str,
    landmark_options: tuple[str, ...],
) -> None:
    """Synthesizes speech from the lips and the face in VIDEO and writes the video with it.

    VIDEO may have any format, frame size and frame rate, and up to ten minutes. Its sound is not
    used and is replaced. The text read from the lips is printed.
    """
    # `facetron --help` imports every command and must not wait for PyTorch.
    from facetron.synthesis.base import load_synthesizer
    from facetron.video import speak as speaking
    from facetron.video.align import Aligner

    request = speaking.SpeakRequest(video, out, face, wav)
    speaking.check(request)
    options = pairs_of("--landmark-option", landmark_options)
    synthesizer = load_synthesizer(
        checkpoint,
        vocoder,
        device,
        decoding,  # type: ignore[arg-type]
        vocoder_checkpoint=vocoder_checkpoint,
    )
    aligner = Aligner(landmarks, options, who)
    try:
        outcome = speaking.speak(request, synthesizer, aligner)
    finally:
        aligner.close()
    for note in outcome.notes:
        click.echo(note, err=True)
    for line in _lines(request, outcome):
        click.echo(line)


def _lines(request: SpeakRequest, outcome: SpeakOutcome) -> list[str]:
    steps = ", ".join(f"{step} {took_s:.2f}" for step, took_s in outcome.took_s.items())
    pictures = "as they were" if outcome.pictures_copied else "encoded again as H.264"
    written = [str(request.out), *([str(request.wav)] if request.wav else [])]
    check = outcome.check
    trust = "" if check is None else f" (confidence {check.confidence:.0%})"
    return [
        f"weights: trained on {outcome.domain}",
        f"read: {outcome.text or '(nothing)'}{trust}",
        f"voice: from {outcome.face}",
        f"wrote {' and '.join(written)}: {outcome.speech_s:.2f} s of speech in "
        f"{sum(outcome.took_s.values()):.2f} s ({steps}); pictures {pictures}",
    ]
