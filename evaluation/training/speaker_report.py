"""How well the talker network tells whom: the numbers of its card."""

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
"""Held-out clips of a talker at most."""
ROUND_TRIP = 0.5
"""Strength of `griffin_lim`: phases sought anew from a mel of 40 to 128 bands in nine rounds."""


@dataclass(frozen=True)
class Found:
    """One set of trials, in percent.

    Attributes:
        clips, talkers: tested; to be told apart.
        identified, chance: share of clips given to their talker; the same by guessing.
        identified_by_talker: mean over talkers, each counting the same.
        eer: equal error rate of one threshold for all.
        own, others: mean cosine with the talker, with the others.
    """

    clips: int
    talkers: int
    identified: float
    identified_by_talker: float
    chance: float
    eer: float
    own: float
    others: float


@dataclass(frozen=True)
class Heard:
    """What the network makes of a build.

    Attributes:
        known: talker → all clips that it may be known by.
        tested: talker → (clip id, embedding) of clips that were not trained on.
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
    talkers = len(found[0].others) + 1
    return Found(
        clips=len(found),
        talkers=talkers,
        identified=round(100 * float(np.mean(every)), 1),
        identified_by_talker=round(100 * float(np.mean([np.mean(v) for v in right.values()])), 1),
        chance=round(100 / talkers, 1),
        eer=round(float(eer), 1),
        own=round(float(values[target].mean()), 3),
        others=round(float(values[~target].mean()), 3),
    )


def tell(heard: Heard, tested: Sequence[str], among: Sequence[str]) -> Found:
    """Held-out clips of some talkers, told among some talkers."""
    known = {talker: heard.known[talker] for talker in among}
    return summary(
        [
            trials(voice, talker, clip_id, known)
            for talker in tested
            for clip_id, voice in heard.tested[talker]
        ]
    )


def hear(network: Ecapa, build: Build, enrolment: int, round_trip: bool = False) -> Heard:
    """Embeds clips of every talker of a build.

    Args:
        enrolment: clips that a talker is known by, at most; held-out ones if there are enough.
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

    with Progress(len(build.held_out), "talkers heard") as bar:
        for talker, rows in build.held_out.items():
            order = np.random.default_rng(1).permutation(len(rows))[:TESTED]
            test = [rows[i] for i in order]
            enrol = [*test, *build.learnt.get(talker, ())][: max(enrolment, len(test))]
            voices = embed(enrol, False)
            known[talker] = Enrolled(tuple(row.clip_id for row in enrol), voices)
            spoken = embed(test, True) if round_trip else voices[: len(test)]
            tested[talker] = [(r.clip_id, v) for r, v in zip(test, spoken, strict=True)]
            bar.update(1)
    return Heard(known, tested)


def measure(
    network: Ecapa, real: Build, synthetic: Build, unheard: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Set → numbers of `Found`."""
    told: dict[str, Found] = {}
    for suffix, round_trip in (("", False), (", through Griffin-Lim", True)):
        heard = hear(network, real, 25, round_trip)
        new = [talker for talker in heard.known if talker in unheard]
        everyone = list(heard.known)
        told[f"GRID, talkers never heard, among themselves{suffix}"] = tell(heard, new, new)
        told[f"GRID, talkers never heard, among all{suffix}"] = tell(heard, new, everyone)
        told[f"GRID, all talkers, among all{suffix}"] = tell(heard, everyone, everyone)
    heard = hear(network, synthetic, 25)
    new = [talker for talker in heard.known if talker in unheard]
    told["SynthGRID, talkers never heard, among themselves"] = tell(heard, new, new)
    told["SynthGRID, talkers never heard, among all"] = tell(heard, new, list(heard.known))
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
        "A talker is known by the mean of other recordings (up to 60), never by the clip itself.",
        "",
        "| clips | n | talkers | identified % | by talker % | chance % | EER % | cosine own | others |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, f in card["told"].items():
        numbers = [
            f["clips"], f["talkers"], f["identified"], f["identified_by_talker"], f["chance"],
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
