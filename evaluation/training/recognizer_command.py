"""`facetron-eval train recognizer`: from builds of GRID and SynthGRID to the weights that are shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from evaluation.models.las import Las, load_las, save_las
from evaluation.models.las_recognizer import clips_told
from evaluation.models.shipped import open_shipped
from evaluation.training.common import (
    UNSEEN,
    real_option,
    seed_option,
    steps_option,
    synthetic_option,
    threads_option,
)
from evaluation.training.recognizer import Material, RecognizerTrainingOptions, train
from evaluation.training.recognizer_data import Clip, espeak_clips, flite_clips, read_build
from evaluation.training.recognizer_report import card_text, clips_per_second, measure
from manifests.errors import BadInput
from manifests.grammar import stem_of
from manifests.io import write_text
from manifests.outputs import Command

NEVER_HEARD = ("s5", "s33")
"""A man and a woman among the real speakers: what is left of the honest number when nearly all recordings
are of one speaker."""
ESPEAK_SENTENCES = 40
FLITE_SENTENCES = 400
WATCHED, MEASURED, MOST_OF_ONE = 40, 60, 150
"""Clips of a set at most: after every epoch, for the card, and for the card of one never heard."""


@dataclass(frozen=True)
class Protocol:
    """The speech that one set of weights hears, and whom it must not hear.

    Attributes:
        file: name of the weights.
        left_out_real, left_out_synthetic: speakers of whom nothing is heard.
        espeak_voices: drawn at random.
        flite: whether the voices of flite are heard.
        options: of the training, where they are not the default.
        further: the same where it goes on from other weights: less varied sound, and letters above all.
        use: lines of the card.
    """

    file: str
    left_out_real: tuple[str, ...]
    left_out_synthetic: tuple[str, ...]
    espeak_voices: int
    flite: bool
    options: dict[str, Any]
    further: dict[str, Any]
    use: tuple[str, ...]


PROTOCOLS = {
    "seen": Protocol(
        "recognizer",
        NEVER_HEARD,
        UNSEEN,
        70,
        False,
        {},
        {
            "shares": (("real/s1", 0.45), ("real", 0.2), ("synth", 0.12), ("espeak", 0.23)),
            "balanced": 0.4,
            "varied": 0.6,
            "eased": 0.0,
            "reach": 0.8,
            "peak": 1.2e-3,
        },
        (
            "WER and CER of speech whose words are GRID's. It heard GRID's s1, and s2 and s4 a little: for",
            "real recordings of these the floor is optimistic, and in the large-unseen protocol their",
            "recordings are not unseen to it. It knows no other words than GRID's 51; noise and most other",
            "English come out as nothing, and so does most of what is no letter in a letter's place. Read",
            "every rate beside the floor of the same clips.",
        ),
    ),
    "large-unseen": Protocol(
        "recognizer-unseen",
        UNSEEN,
        UNSEEN,
        120,
        True,
        {
            "shares": (("real", 0.45), ("flite", 0.15), ("synth", 0.15), ("espeak", 0.25)),
            "balanced": 0.5,
            "reach": 1.3,
        },
        {
            "shares": (("real", 0.45), ("flite", 0.15), ("synth", 0.15), ("espeak", 0.25)),
            "balanced": 0.5,
            "varied": 0.7,
            "eased": 0.0,
            "peak": 1.2e-3,
        },
        (
            "WER and CER of speech whose words are GRID's, in the large-unseen protocol: it heard nothing",
            "of s1, s2, s4 and s29, and few real recordings at all. Read every rate beside the floor of the",
            "same clips, and beside that of a recognizer that never heard GRID (`wer_second`).",
        ),
    ),
}


def read_material(
    real: Path, synthetic: Path, seed: int, protocol: Protocol = PROTOCOLS["seen"]
) -> tuple[Material, dict[str, list[Clip]]]:
    """Training set, and the held-out sets by name.

    Raises:
        BadInput: a build without clips to train on.
    """
    train_real, val_real, test_real = read_build(real, "real", protocol.left_out_real)
    train_synth, val_synth, test_synth = read_build(synthetic, "synth", protocol.left_out_synthetic)
    for root, found in ((real, train_real), (synthetic, train_synth)):
        if not found:
            raise BadInput(f"{root} has no clips to train on", "give a build with a train subset")
    held_out = [*val_real, *test_real, *val_synth, *test_synth]
    forbidden = frozenset(stem_of(clip.sentence) for clip in held_out)
    rng = np.random.default_rng(seed + 1)
    spoken = espeak_clips(protocol.espeak_voices, ESPEAK_SENTENCES, rng, forbidden)
    if protocol.flite:
        spoken += flite_clips(FLITE_SENTENCES, rng, forbidden)
    clips: dict[str, list[Clip]] = {}
    for clip in [*train_real, *train_synth, *spoken]:
        clips.setdefault(clip.speaker, []).append(clip)
    sets: dict[str, list[Clip]] = {}
    if "s1" not in protocol.left_out_real:
        sets["GRID s1, test"] = [c for c in test_real if c.speaker == "real/s1"]
        sets["GRID s1, val"] = [c for c in val_real if c.speaker == "real/s1"]
        never = {f"real/{speaker}" for speaker in protocol.left_out_real}
        sets["GRID speakers never heard"] = [c for c in test_real if c.speaker in never]
    else:
        for speaker in protocol.left_out_real:
            own = [c for c in test_real if c.speaker == f"real/{speaker}"]
            sets[f"GRID {speaker}, never heard"] = _thinned(own, MOST_OF_ONE)
    sets["SynthGRID speakers never heard"] = _thinned(test_synth, MEASURED)
    sets = {name: own for name, own in sets.items() if own}
    watched = {name: _thinned(own, WATCHED) for name, own in sets.items()}
    return Material(clips, forbidden, watched), sets


def _thinned(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Returns at most so many, evenly over the list and so over its speakers."""
    return [clips[k * len(clips) // most] for k in range(most)] if len(clips) > most else [*clips]


def trained_on(material: Material) -> list[str]:
    """Lines of the card."""
    counts = {speaker: len(clips) for speaker, clips in material.clips.items()}

    def of(source: str) -> dict[str, int]:
        return {t.split("/")[1]: n for t, n in counts.items() if t.startswith(f"{source}/")}

    real, synth, spoken, flite = of("real"), of("synth"), of("espeak"), of("flite")
    return [
        f"{sum(real.values())} recordings of GRID (CC BY 4.0; subset train of the build): "
        + ", ".join(f"{speaker} {n}" for speaker, n in real.items()),
        f"{sum(synth.values())} clips of {len(synth)} speakers of SynthGRID (espeak-ng)",
        f"{sum(spoken.values())} sentences of {len(spoken)} voices drawn at random (espeak-ng)",
        *(
            [f"{sum(flite.values())} sentences of {len(flite)} voices of flite: {', '.join(flite)}"]
            if flite
            else []
        ),
        "sentences put together from words of one speaker; other pace, pitch and vocal tract, rooms, "
        "channels, noise, babble, SpecAugment, and a tenth through mels and Griffin-Lim",
    ]


def left_out(protocol: Protocol) -> list[str]:
    """Lines of the card."""
    return [
        f"all clips of GRID's {' and '.join(protocol.left_out_real)}: the speakers never heard",
        "the subsets val and test of both builds, and their sentences in everything put together or "
        "spoken by synthesizers; another speaker's recording of such a sentence is not left out",
        f"SynthGRID's {', '.join(protocol.left_out_synthetic)}; espeak-ng's voices drawn at random may "
        "resemble them",
    ]


def heard(material: Material) -> dict[str, dict[str, str]]:
    """Corpus → speaker → stems of every clip that was trained on, with spaces between them: what
    `reporting.heard` counts."""
    found: dict[str, dict[str, str]] = {"real": {}, "synth": {}}
    for speaker, clips in sorted(material.clips.items()):
        source, _, name = speaker.partition("/")
        if source in found:
            found[source][name] = " ".join(sorted(stem_of(clip.sentence) for clip in clips))
    return found


def heard_by_either(
    one: Mapping[str, Mapping[str, str]], other: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """What `heard` tells of a training and of the one before it, as one; without a corpus of which either
    does not tell, for then nobody knows which of its clips were heard."""
    both = {}
    for corpus in sorted({*one} & {*other}):
        clips = sorted(clips_told(one[corpus]) | clips_told(other[corpus]))
        stems: dict[str, list[str]] = {}
        for speaker, stem in clips:
            stems.setdefault(speaker, []).append(stem)
        both[corpus] = {speaker: " ".join(own) for speaker, own in stems.items()}
    return both


def without_heard(
    sets: Mapping[str, Sequence[Clip]], told: Mapping[str, Mapping[str, str]]
) -> dict[str, list[Clip]]:
    """The held-out sets without the clips that are told as heard; sets of which nothing is left go."""
    heard_of = {corpus: clips_told(stems) for corpus, stems in told.items()}

    def is_heard(clip: Clip) -> bool:
        source, _, speaker = clip.speaker.partition("/")
        return (speaker, stem_of(clip.sentence)) in heard_of.get(source, ())

    kept = {name: [clip for clip in clips if not is_heard(clip)] for name, clips in sets.items()}
    return {name: clips for name, clips in kept.items() if clips}


def card_of(
    model: Las,
    material: Material,
    sets: dict[str, list[Clip]],
    recipes: Sequence[tuple[int, dict[str, Any]]],
    protocol: Protocol,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The card's values, measured.

    Args:
        before: card of the weights that the training went on from.
    """
    lines, clips, steps = trained_on(material), heard(material), 0
    earlier: list[dict[str, Any]] = []
    if before is not None:
        lines = [*before["trained_on"], *(f"then {line}" for line in lines)]
        clips = heard_by_either(before["heard"], clips)
        earlier = list(before["recipes"])
        steps = earlier[-1]["steps"] if earlier else 0
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_on": lines,
        "left_out": left_out(protocol),
        "heard": clips,
        "use": list(protocol.use),
        "rates": measure(model, sets),
        "clips_per_s": round(clips_per_second(model, next(iter(sets.values()))[:30]), 1),
        "recipes": [
            *earlier,
            *(
                {**recipe, "from_step": steps + step, "steps": steps + recipe["steps"]}
                for step, recipe in recipes
            ),
        ],
    }


def _require_unheard(protocol: Protocol, before: Mapping[str, Any], path: Path) -> None:
    """Raises `BadInput` where the weights heard speakers of whom the protocol lets nothing be heard."""
    left_out_of = {"real": protocol.left_out_real, "synth": protocol.left_out_synthetic}
    for corpus, speakers in left_out_of.items():
        known = [s for s in speakers if before["heard"].get(corpus, {}).get(s)]
        if known:
            raise BadInput(
                f"{path} was trained on {', '.join(known)}, whom this protocol leaves out",
                "go on from weights of the same protocol",
            )


@click.command(cls=Command)
@real_option
@synthetic_option
@click.option(
    "--protocol",
    "protocol_name",
    type=click.Choice([*PROTOCOLS]),
    default="seen",
    show_default=True,
    help="large-unseen: s1, s2, s4 and s29 are left out of everything; it needs the program flite.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write to; an interrupted training there is resumed.",
)
@click.option(
    "--from",
    "from_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Recognizer of this toolkit to go on from, such as the bundled one; its card lies beside it.",
)
@steps_option(RecognizerTrainingOptions.steps)
@click.option("--bf16", is_flag=True, help="Train in bfloat16; faster on CPUs that support it.")
@threads_option
@seed_option
def main(
    real: Path,
    synthetic: Path,
    protocol_name: str,
    out: Path,
    from_path: Path | None,
    steps: int,
    bf16: bool,
    threads: int,
    seed: int,
) -> None:
    """Train the recognizer and measure it: the weights, their .json and their .md in OUT."""
    protocol = PROTOCOLS[protocol_name]
    torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    start, before, chosen = None, None, protocol.options
    if from_path is not None:
        start, before, chosen = load_las(from_path), open_shipped(from_path).card, protocol.further
        _require_unheard(protocol, before, from_path)
    options = RecognizerTrainingOptions(**{"steps": steps, "bf16": bf16, "seed": seed, **chosen})
    material, sets = read_material(real, synthetic, seed, protocol)
    if before is not None:
        sets = without_heard(sets, before["heard"])
        material = replace(material, watched=without_heard(material.watched, before["heard"]))
    trained, recipes = train(out, material, options, start)
    # As it will be used: half precision is part of the weights.
    model = Las(trained.spec)
    model.load_state_dict(
        {
            name: value.half().float() if value.is_floating_point() else value
            for name, value in trained.state_dict().items()
        }
    )
    card = card_of(model.eval(), material, sets, recipes, protocol, before)
    save_las(out / f"{protocol.file}.safetensors", trained, {"recipes": recipes}, card)
    text = card_text(card, protocol.file)
    write_text(out / f"{protocol.file}.md", text)
    click.echo(text)
