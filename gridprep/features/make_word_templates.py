"""Makes `word_templates.npz` from the training clips of builds: `python -m
gridprep.features.make_word_templates BUILD …`. No program runs this."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np

from gridprep.features.word_templates import FILE, Array, word_features
from manifests.grammar import SLOTS
from manifests.manifest import Manifest

Speakers = dict[tuple[str, str], dict[tuple[int, str], list[Array]]]


def gather(builds: Iterable[Path]) -> Speakers:
    """(build, speaker) → (slot, word) → features of every utterance of the word."""
    found: Speakers = defaultdict(lambda: defaultdict(list))
    for build in builds:
        for row in Manifest(build):
            for slot, (word, sound) in enumerate(
                zip(row.words, word_features(row.mel(), row.words), strict=True)
            ):
                found[str(build), row.speaker][slot, word.word].append(sound)
    return found


def averaged(speakers: Speakers, builds: Sequence[str]) -> dict[tuple[int, str], Array]:
    """The mean over builds of the means over their speakers of the means over their words."""
    means: dict[tuple[int, str], dict[str, list[Array]]] = defaultdict(lambda: defaultdict(list))
    for (build, _), words in speakers.items():
        for key, sounds in words.items():
            means[key][build].append(np.mean(sounds, axis=0))
    return {
        key: np.mean([np.mean(of, axis=0) for b, of in by_build.items() if b in builds], axis=0)
        for key, by_build in means.items()
    }


@click.command()
@click.argument("builds", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(builds: tuple[Path, ...]) -> None:
    """Averages the words of BUILDS."""
    made = averaged(gather(builds), [str(build) for build in builds])
    keys = sorted(made)
    path = Path(__file__).with_name(FILE)
    np.savez_compressed(
        path,
        slots=np.array([slot for slot, _ in keys], np.int8),
        words=np.array([word for _, word in keys]),
        templates=np.array([made[key] for key in keys], np.float16),
    )
    click.echo(f"{path}: {len(keys)} words of {len(SLOTS)} slots, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
