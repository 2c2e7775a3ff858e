"""Scales of listening tests: the absolute category ratings of ITU-T P.800 and related scales.

Every part of a test has one scale; the pages, the sheets, the scoring and the report take their
words from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """
    Attributes:
        key: identifier in files.
        label: column head in tables.
        title: heading of the part on the page.
        question: question of each trial.
        advice: paragraphs that introduce the part.
        answers: names of the ratings, 1 first.
        pair: whether a trial holds two sounds.
        definition: definition for captions of tables.
        share: column head of the percentage of ratings of 4 and 5, "" where that says nothing.
    """

    key: str
    label: str
    title: str
    question: str
    advice: tuple[str, ...]
    answers: tuple[str, ...]
    pair: bool
    definition: str
    share: str = ""


MOS = Scale(
    key="mos",
    label="MOS",
    title="Quality",
    question="How good is the quality of this speech?",
    advice=(
        "You will hear short sentences, one at a time. Judge how the speech sounds as a whole: how "
        "natural, how clear and how pleasant it is to listen to.",
        "The sentences themselves make little sense. Do not judge what is said.",
    ),
    answers=("Bad", "Poor", "Fair", "Good", "Excellent"),
    pair=False,
    definition=(
        "Mean opinion score: mean of the listeners' absolute category ratings of quality, "
        "1 (bad) to 5 (excellent)"
    ),
)

SMOS_SPEAKER = Scale(
    key="smos_speaker",
    label="SMOS (speaker)",
    title="Same speaker?",
    question="Do A and B sound like the same person?",
    advice=(
        "You will hear pairs of sentences. Judge how much the two voices sound like one and the "
        "same person.",
        "The sentences differ, and one of them may be distorted or noisy. Judge neither the words "
        "nor the quality, only the voice.",
    ),
    answers=(
        "Surely different persons",
        "Probably different persons",
        "Cannot tell",
        "Probably the same person",
        "Surely the same person",
    ),
    pair=True,
    definition=(
        "Similarity mean opinion score for the speaker: synthesized speech beside a recording of "
        "the speaker it should sound like, 1 (surely different persons) to 5 (surely the same)"
    ),
)

SMOS_GENDER = Scale(
    key="smos_gender",
    label="SMOS (gender)",
    title="Same gender?",
    question="Do the voices of A and B have the same gender?",
    advice=(
        "You will hear pairs of sentences by two people. Judge whether both voices are male or "
        "both are female.",
        "The two may well be different persons, and one of them may be distorted or noisy. Judge "
        "neither the words nor the quality.",
    ),
    answers=("Surely not", "Probably not", "Cannot tell", "Probably yes", "Surely yes"),
    pair=True,
    definition=(
        "Similarity mean opinion score for the gender: synthesized speech beside a recording of "
        "another speaker of the gender it should have, 1 (surely another) to 5 (surely the same)"
    ),
    share="Same gender",
)

HEADPHONES = Scale(
    key="headphones",
    label="Headphones",
    title="Headphone check",
    question="Which of the three tones was the quietest?",
    advice=(
        "You will hear three tones, one after the other. One of them is quieter than the others. "
        "This is easy with headphones and hard without, so please put them on now.",
    ),
    answers=("The first", "The second", "The third"),
    pair=False,
    definition="Antiphase loudness test (Woods et al. 2017)",
)

SCALES: dict[str, Scale] = {scale.key: scale for scale in (MOS, SMOS_SPEAKER, SMOS_GENDER)}
"""Parts that a test may have, in the order in which a listener meets them: quality first, since
pairs reveal what the recordings sound like."""

ALL_SCALES = {**SCALES, HEADPHONES.key: HEADPHONES}
