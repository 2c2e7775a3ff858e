"""`facetron-eval train`: trains the networks that come with the evaluation."""

from __future__ import annotations

import click

from manifests.console import LazyGroup

NETWORKS = {
    "recognizer": "evaluation.training.recognizer_command:main",
    "quality": "evaluation.training.quality:main",
    "speaker": "evaluation.training.speaker:main",
    "gender": "evaluation.training.speaker_gender:main",
    "face": "evaluation.training.face:main",
    "match": "evaluation.training.match:main",
}


@click.group(cls=LazyGroup, lazy=NETWORKS)
def train() -> None:
    """Train the networks that the evaluation ships, on builds of GRID and SynthGRID."""
