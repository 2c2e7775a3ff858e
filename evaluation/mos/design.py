"""Design of a listening test from runs and options: the trials of each subject, with controls.

A part of a session is: practice (the same for everyone, over the whole range of quality), then the
trials of `balance`, with the controls spread among them:

- a *trap* begins like any clip, then a voice asks for a certain number;
- a *gold* question has an answer that nobody who listens misses: a recording, or the anchor;
- a *repeat* is an earlier trial once more, in the later half.

Controls use spare clips where there are any, so that nobody hears a sentence of the test twice.
"""

from __future__ import annotations

import dataclasses
import itertools
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evaluation.inputs.pairs import RunDir, check_comparable
from evaluation.mos import balance
from evaluation.mos.audio import Source
from evaluation.mos.material import Item, Material, gather
from evaluation.mos.options import DesignOptions
from evaluation.mos.records import Condition
from evaluation.mos.scales import HEADPHONES, SCALES
from evaluation.mos.stimuli import Draft, Stimuli
from manifests.errors import BadInput

REPEAT_GAP = 6
"""Trials between a trial and its repetition, where the part is long enough."""
GOOD, POOR = (4, 5), (1, 2)
"""Right answers to gold questions."""
TONE_PLACES = tuple(itertools.permutations((1, 2, 3), 2))


@dataclass
class Design:
    """A listening test that is not yet written.

    Attributes:
        options: options of the design.
        conditions: part → conditions compared.
        sessions: subject → trials in order.
        volume: sound for setting the volume.
        notes: for the experimenter.
    """

    options: DesignOptions
    conditions: dict[str, list[Condition]]
    sessions: dict[str, list[Draft]]
    volume: Source
    notes: list[str] = field(default_factory=list)

    def sources(self) -> list[Source]:
        drafts = itertools.chain.from_iterable(self.sessions.values())
        return list(
            dict.fromkeys([self.volume, *(sound for draft in drafts for sound in draft.sounds)])
        )


def make_design(runs: Sequence[RunDir], options: DesignOptions) -> Design:
    """Draws a listening test. The same runs, options and seed give the same test.

    Raises:
        BadInput: the runs are not comparable, there are too few clips, or the options do not fit.
    """
    options.check()
    check_comparable(list(runs))
    material = gather(runs, options)
    subjects = [f"S{i:0{max(2, len(str(options.subjects)))}d}" for i in _from_1(options.subjects)]
    sessions: dict[str, list[Draft]] = {subject: [] for subject in subjects}
    if options.headphones:
        for subject, tones in zip(subjects, _headphones(options), strict=False):
            sessions[subject] += tones
    conditions: dict[str, list[Condition]] = {}
    for part in sorted(options.parts, key=list(SCALES).index):
        stimuli = Stimuli(material, part, options)
        conditions[part] = stimuli.conditions
        for subject, drafts in zip(subjects, _part(stimuli, options), strict=True):
            sessions[subject] += drafts
    if not material.spare and (options.practice or options.traps or options.golds):
        material.notes.append(
            "There are no spare clips: practice and controls use sentences of the test itself."
        )
    volume = Source("plain", "volume", "", "", _volume(material))
    return Design(options, conditions, sessions, volume, list(dict.fromkeys(material.notes)))


def _from_1(n: int) -> range:
    return range(1, n + 1)


def _volume(material: Material) -> Path:
    item = (material.spare or material.main)[0]
    first = material.systems[0].name
    return item.recording or material.files[first][item.label]


def _headphones(options: DesignOptions) -> Iterator[list[Draft]]:
    rng = np.random.default_rng([options.seed, zlib.crc32(b"headphones")])
    for _ in range(options.subjects):
        yield [
            Draft(
                HEADPHONES.key,
                "headphones",
                sounds=(Source("tones", HEADPHONES.key, "", "", None, TONE_PLACES[i]),),
                expected=(TONE_PLACES[i][0],) * 2,
            )
            for i in rng.permutation(len(TONE_PLACES))
        ]


def _part(stimuli: Stimuli, options: DesignOptions) -> Iterator[list[Draft]]:
    """The part's trials, subject by subject."""
    main, conditions = stimuli.material.main, stimuli.conditions
    k, n = len(conditions), len(stimuli.material.main)
    per_subject = options.per_subject or n
    n_blocks = options.blocks or k
    if per_subject > n:
        raise BadInput(f"there are {n} sentences, not {per_subject}", "lower --per-subject")
    if n_blocks > k:
        raise BadInput(f"there are {k} conditions for {n_blocks} blocks", f"pass --blocks {k}")
    if options.repeats > per_subject * n_blocks // 3:
        raise BadInput(
            f"{options.repeats} repeats are too many for {per_subject * n_blocks} trials",
            f"pass --repeats {per_subject * n_blocks // 3} or less",
        )
    rng = np.random.default_rng([options.seed, zlib.crc32(stimuli.part.encode())])
    speakers = [item.speaker for item in main]
    groups = [
        [i for i in range(n) if speakers[i] == speaker] for speaker in dict.fromkeys(speakers)
    ]
    order = balance.item_order(groups, rng, in_turns=per_subject < n)
    names = rng.permutation(k)
    plan = balance.latin_blocks(options.subjects, n, k, per_subject, n_blocks)
    rows = balance.williams(k)
    dealt = itertools.cycle([rows[i] for i in rng.permutation(len(rows))])
    practice = _practice(stimuli, options)
    for subject, blocks in enumerate(plan):
        trials: list[Draft] = []
        for block in blocks:
            cells = [(order[item], int(names[condition])) for item, condition in block]
            counts = np.bincount([condition for _, condition in cells], minlength=k)
            mine = [next(dealt) for _ in range(int(counts.max()))]
            for item, condition in balance.presentation_order(cells, mine, speakers, rng):
                trials.append(_rating(stimuli, conditions[condition], main[item]))
        controls = _controls(stimuli, options, subject, rng)
        yield [
            *(dataclasses.replace(draft) for draft in practice),
            *_interleave(trials, controls, options.repeats, rng),
        ]


def _rating(stimuli: Stimuli, condition: Condition, item: Item, role: str = "rating") -> Draft:
    sounds = stimuli.sounds(condition, item)
    return Draft(stimuli.part, role, condition.name, item.label, sounds)


def _practice(stimuli: Stimuli, options: DesignOptions) -> list[Draft]:
    """Orders trials from the worst to the best and what lies between, so that the scale is known before it
    counts."""
    spare = stimuli.material.spare or stimuli.material.main
    extremes = [c for c in stimuli.conditions if c.kind in ("anchor", "recording")][::-1]
    others = [c for c in stimuli.conditions if c not in extremes]
    turns = itertools.cycle([*extremes, *others])
    drafts = []
    for item in itertools.islice(itertools.cycle(spare), options.practice):
        condition = next(turns)
        if stimuli.possible(condition, item):
            drafts.append(_rating(stimuli, condition, item, "practice"))
    return drafts


def _controls(
    stimuli: Stimuli, options: DesignOptions, subject: int, rng: np.random.Generator
) -> list[Draft]:
    """Traps and gold questions of one subject, in random order."""
    spare = stimuli.material.spare[options.practice :] or stimuli.material.spare
    pool = spare or stimuli.material.main
    start = subject * (options.traps + options.golds)
    items = itertools.cycle([pool[(start + i) % len(pool)] for i in range(len(pool))])
    systems = [c for c in stimuli.conditions if c.kind not in ("anchor", "recording")]
    drafts = []
    for i in range(options.traps):
        # Every number is asked for equally often, and a subject is not asked for one twice.
        number = (subject * options.traps + i) * 2 % 5 + 1
        condition = (systems or stimuli.conditions)[(subject + i) % len(systems or [0])]
        item = next(items)
        drafts.append(
            Draft(
                stimuli.part,
                "trap",
                condition.name,
                item.label,
                stimuli.sounds(condition, item, trap=number),
                (number, number),
            )
        )
    known = [
        (kind, right) for kind, right in (("recording", GOOD), ("anchor", POOR))
        for c in stimuli.conditions if c.kind == kind
    ]  # fmt: skip
    for i in range(options.golds if known else 0):
        kind, right = known[(subject + i) % len(known)]
        condition = next(c for c in stimuli.conditions if c.kind == kind)
        item = next(items)
        if stimuli.possible(condition, item):
            draft = _rating(stimuli, condition, item, "gold")
            drafts.append(dataclasses.replace(draft, expected=right))
    return [drafts[i] for i in rng.permutation(len(drafts))]


def _interleave(
    trials: list[Draft], controls: list[Draft], n_repeats: int, rng: np.random.Generator
) -> list[Draft]:
    """Trials in their order, with controls spread over them and repeats over the later half."""
    n = len(trials)
    gap = min(REPEAT_GAP, n // 3)
    placed = list(zip(balance.spread(n, len(controls), rng, first=2), controls, strict=True))
    free = list(range(n))
    for place in balance.spread(n, n_repeats, rng, first=max(n // 2, gap + n_repeats)):
        choices = [i for i in free if i < place - gap]
        chosen = int(rng.choice(choices))
        free.remove(chosen)
        original = trials[chosen]
        sounds = tuple(dataclasses.replace(sound, copy=1) for sound in original.sounds)
        again = dataclasses.replace(original, role="repeat", sounds=sounds, original=original)
        placed.append((place, again))
    order = list(trials)
    for place, draft in sorted(placed, key=lambda entry: entry[0], reverse=True):
        order.insert(place, draft)
    return order
