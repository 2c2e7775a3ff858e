"""Identification and verification rates of the speaker network: the numbers of its card."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.enrollment import Enrolled, Trials, trials
from evaluation.models.ecapa import Ecapa, active_mel
from evaluation.stats.pooling import equal_error_rates
from evaluation.training.quality_spectral import griffin_lim
from evaluation.training.speaker_bank import Build
from manifests.console import Progress
from manifests.records import ManifestRow

TESTED = 60
"""Held-out clips of a speaker at most."""
ROUND_TRIP = 0.5
"""Strength of `griffin_lim`: phases sought anew from a mel of 40 to 128 bands in nine rounds."""


@dataclass(frozen=True)
class Found:
    """One set of trials, in percent.

    Attributes:
        clips, speakers: tested; to be told apart.
        identified, chance: share of clips given to their speaker; the same by guessing.
        identified_by_speaker: mean over speakers, each counting the same.
        eer: equal error rate of one threshold for all.
        own, others: mean cosine with the speaker, with the others.
    """

    clips: int
    speakers: int
    identified: float
    identified_by_speaker: float
    chance: float
    eer: float
    own: float
    others: float


@dataclass(frozen=True)
class Heard:
    """Scores of the network on a build.

    Attributes:
        known: speaker → all clips that it may be known by.
        tested: speaker → (clip id, embedding) of clips that were not trained on.
    """

    known: dict[str, Enrolled]
    tested: dict[str, list[tuple[str, NDArray[np.float64]]]]


def summary(found: Sequence[Trials]) -> Found:
    """Raises `ValueError` without trials."""
    if not found:
        raise ValueError("there are no trials")
    cosines = [np.array([t.own, *t.others.values()]) for t in found]
    clip = np.repeat(np.arange(len(found)), [len(c) for c in cosines])
    target = np.concatenate([np.arange(len(c)) == 0 for c in cosines])
    values = np.concatenate(cosines)
    eer = equal_error_rates(values, clip, target, np.ones((1, len(found))))[0]
    right: dict[str, list[bool]] = {}
    for t in found:
        right.setdefault(t.target, []).append(t.nearest == t.target)
    every = [value for values in right.values() for value in values]
    speakers = len(found[0].others) + 1
    return Found(
        clips=len(found),
        speakers=speakers,
        identified=round(100 * float(np.mean(every)), 1),
        identified_by_speaker=round(100 * float(np.mean([np.mean(v) for v in right.values()])), 1),
        chance=round(100 / speakers, 1),
        eer=round(float(eer), 1),
        own=round(float(values[target].mean()), 3),
        others=round(float(values[~target].mean()), 3),
    )


def tell(heard: Heard, tested: Sequence[str], among: Sequence[str]) -> Found:
    """Held-out clips of some speakers, told among some speakers."""
    known = {speaker: heard.known[speaker] for speaker in among}
    return summary(
        [
            trials(voice, speaker, clip_id, known)
            for speaker in tested
            for clip_id, voice in heard.tested[speaker]
        ]
    )


def hear(network: Ecapa, build: Build, enrollment: int, round_trip: bool = False) -> Heard:
    """Embeds clips of every speaker of a build.

    Args:
        enrollment: clips that a speaker is known by, at most; held-out ones if there are enough.
        round_trip: test each held-out clip as Griffin-Lim gives it back.
    """
    known: dict[str, Enrolled] = {}
    tested: dict[str, list[tuple[str, NDArray[np.float64]]]] = {}
    rng = np.random.default_rng(0)

    def embed(rows: Sequence[ManifestRow], spoilt: bool) -> NDArray[np.float64]:
        sounds = [build.sound(row) for row in rows]
        if spoilt:
            sounds = [griffin_lim(sound, ROUND_TRIP, rng) for sound in sounds]
        return network.embed([active_mel(sound) for sound in sounds])

    with Progress(len(build.held_out), "speakers heard") as bar:
        for speaker, rows in build.held_out.items():
            order = np.random.default_rng(1).permutation(len(rows))[:TESTED]
            test = [rows[i] for i in order]
            enrol = [*test, *build.learnt.get(speaker, ())][: max(enrollment, len(test))]
            voices = embed(enrol, False)
            known[speaker] = Enrolled(tuple(row.clip_id for row in enrol), voices)
            spoken = embed(test, True) if round_trip else voices[: len(test)]
            tested[speaker] = [(r.clip_id, v) for r, v in zip(test, spoken, strict=True)]
            bar.update(1)
    return Heard(known, tested)


def measure(
    network: Ecapa, real: Build, synthetic: Build, unheard: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Set → numbers of `Found`."""
    told: dict[str, Found] = {}
    for suffix, round_trip in (("", False), (", through Griffin-Lim", True)):
        heard = hear(network, real, 25, round_trip)
        new = [speaker for speaker in heard.known if speaker in unheard]
        everyone = list(heard.known)
        told[f"GRID, speakers never heard, among themselves{suffix}"] = tell(heard, new, new)
        told[f"GRID, speakers never heard, among all{suffix}"] = tell(heard, new, everyone)
        told[f"GRID, all speakers, among all{suffix}"] = tell(heard, everyone, everyone)
    heard = hear(network, synthetic, 25)
    new = [speaker for speaker in heard.known if speaker in unheard]
    told["SynthGRID, speakers never heard, among themselves"] = tell(heard, new, new)
    told["SynthGRID, speakers never heard, among all"] = tell(heard, new, list(heard.known))
    return {name: asdict(found) for name, found in told.items()}


def clips_per_second(network: Ecapa, build: Build, clips: int = 30) -> float:
    """Features and network, one clip at a time, by the time of the processor, not of the clock."""
    rows = [row for rows in build.held_out.values() for row in rows][:clips]
    sounds = [build.sound(row) for row in rows]
    network.embed([active_mel(sounds[0])])
    start = time.process_time()
    for sound in sounds:
        network.embed([active_mel(sound)])
    return round(len(sounds) / (time.process_time() - start), 1)


def card_text(card: Mapping[str, Any]) -> str:
    """The card for people."""
    lines = [
        "# speaker.safetensors: who speaks",
        "",
        f"SpeechBrain's ECAPA-TDNN, {card['parameters']:,} parameters in half precision, an embedding "
        f"of {card['embedding']} for every clip. Trained by `facetron-eval train speaker`; sha256 "
        f"`{card['sha256']}`.",
        "",
        "## Heard",
        *(f"- {line}" for line in card["heard"]),
        "",
        "## Not heard",
        *(f"- {line}" for line in card["left_out"]),
        "",
        "## Told apart, on clips that were not trained on",
        "A speaker is known by the mean of other recordings (up to 60), never by the clip itself.",
        "",
        "| clips | n | speakers | identified % | by speaker % | chance % | EER % | cosine own | others |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, f in card["told"].items():
        numbers = [
            f["clips"], f["speakers"], f["identified"], f["identified_by_speaker"], f["chance"],
            f["eer"], f["own"], f["others"],
        ]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(map(str, numbers)) + " |")
    lines += [
        "",
        f"{card['clips_per_s']} clips of 3 s a second of one processor, one at a time.",
        "",
        "## Use",
        *(f"- {line}" for line in card["use"]),
        "",
    ]
    return "\n".join(lines)
