"""Tests as they are drawn: who hears what, with which controls."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluation.inputs.pairs import RunDir, read_run
from evaluation.mos.design import Design, make_design
from evaluation.mos.options import PRESETS, DesignOptions, from_preset
from evaluation.mos.stimuli import COUNTERPART, Draft
from manifests.errors import BadInput

SMALL: dict[str, Any] = {
    "clips_per_speaker": 3, "subjects": 8, "practice": 3, "traps": 2, "golds": 2, "repeats": 2,
}  # fmt: skip
GENDERS = {"anna": "female", "bert": "male", "cleo": "female", "dirk": "male"}


def draw(runs: list[RunDir], **options: Any) -> Design:
    return make_design(runs, DesignOptions(**{**SMALL, **options}))


def rated(drafts: list[Draft], part: str = "mos") -> list[Draft]:
    return [draft for draft in drafts if draft.role == "rating" and draft.part == part]


def speaker(draft: Draft) -> str:
    return draft.clip.split("/")[0]


def spoken_by(draft: Draft, which: str) -> str:
    """The speaker of a recording in a pair."""
    (sound,) = [s for s in draft.sounds if (s.condition == COUNTERPART) is (which == COUNTERPART)]
    assert sound.path
    return sound.path.parent.name


def test_paper_preset(many_runs: list[RunDir]) -> None:
    design = make_design(many_runs, PRESETS["paper"])
    assert [c.name for c in design.conditions["mos"]] == [
        "Alpha",
        "Beta",
        "Recording",
        "Low anchor",
    ]
    assert len(design.sessions) == 15
    cells: Counter[tuple[str, str]] = Counter()
    for drafts in design.sessions.values():
        mine = rated(drafts)
        assert len({draft.clip for draft in mine}) == len(mine) == 40, "each sentence once"
        assert Counter(map(speaker, mine)) == dict.fromkeys(GENDERS, 10)
        assert Counter(draft.condition for draft in mine) == {
            c.name: 10 for c in design.conditions["mos"]
        }, "all systems equally often"
        each = Counter((speaker(draft), draft.condition) for draft in mine)
        assert set(each.values()) <= {2, 3}, "for every speaker too"
        cells.update((draft.clip, draft.condition) for draft in mine)
    assert len(cells) == 160
    assert set(cells.values()) <= {3, 4}, "15 subjects, 4 systems"


def test_order_is_balanced(many_runs: list[RunDir]) -> None:
    design = make_design(many_runs, dataclasses.replace(PRESETS["paper"], subjects=16))
    follows: Counter[tuple[str, str]] = Counter()
    halves: Counter[tuple[str, int]] = Counter()
    for drafts in design.sessions.values():
        names = [draft.condition for draft in rated(drafts)]
        for start in range(0, 40, 4):
            follows.update(itertools.pairwise(names[start : start + 4]))
        halves.update((name, i // 20) for i, name in enumerate(names))
    assert len(follows) == 12
    assert set(follows.values()) == {40}
    assert set(halves.values()) == {80}


def test_same_seed_same_test_and_no_other(runs: list[RunDir]) -> None:
    def facts(seed: int) -> list[tuple[str, ...]]:
        sessions = draw(runs, seed=seed, parts=("mos", "smos_speaker")).sessions
        return [
            (subject, d.part, d.role, d.condition, d.clip, *(str(s.path) for s in d.sounds))
            for subject, drafts in sessions.items()
            for d in drafts
        ]

    assert facts(1) == facts(1)
    assert facts(1) != facts(2)


def test_a_subset_for_each(many_runs: list[RunDir]) -> None:
    design = make_design(many_runs, DesignOptions(per_subject=12, subjects=12, n_clips=48))
    heard: Counter[str] = Counter()
    for drafts in design.sessions.values():
        mine = rated(drafts)
        assert len({draft.clip for draft in mine}) == len(mine) == 12
        assert set(Counter(draft.condition for draft in mine).values()) == {3}
        assert set(Counter(map(speaker, mine)).values()) == {3}
        heard.update(draft.clip for draft in mine)
    assert set(heard.values()) == {3}


def test_all_blocks_are_the_full_design(runs: list[RunDir]) -> None:
    design = draw(runs, blocks=0)
    for drafts in design.sessions.values():
        mine = rated(drafts)
        assert len({(d.clip, d.condition) for d in mine}) == len(mine) == 12 * 4
        for start in range(0, 48, 12):
            assert len({d.clip for d in mine[start : start + 12]}) == 12, "once in a block"


def test_controls(runs: list[RunDir]) -> None:
    design = draw(runs)
    asked: Counter[int] = Counter()
    for drafts in design.sessions.values():
        roles = Counter(d.role for d in drafts)
        assert roles == {
            "headphones": 6,
            "practice": 3,
            "rating": 12,
            "trap": 2,
            "gold": 2,
            "repeat": 2,
        }
        assert [d.role for d in drafts][:9] == ["headphones"] * 6 + ["practice"] * 3
        main = {d.clip for d in rated(drafts)}
        for draft in drafts:
            if draft.role in ("practice", "trap", "gold"):
                assert draft.clip not in main, "controls use spare sentences"
        traps = [d for d in drafts if d.role == "trap"]
        numbers = [d.expected[0] for d in traps if d.expected]
        assert len(set(numbers)) == 2
        assert [d.sounds[-1].detail for d in traps] == [(n,) for n in numbers]
        asked.update(numbers)
        golds = {d.condition: d.expected for d in drafts if d.role == "gold"}
        assert golds == {"Recording": (4, 5), "Low anchor": (1, 2)}
        for place, draft in enumerate(drafts):
            if draft.role == "repeat":
                assert draft.original
                assert place - drafts.index(draft.original) > 4
                assert (draft.clip, draft.condition) == (
                    draft.original.clip,
                    draft.original.condition,
                )
                assert draft.sounds != draft.original.sounds, "a file of its own"
    assert max(asked.values()) - min(asked.values()) <= 1


def test_practice_shows_the_whole_range_to_everyone_alike(runs: list[RunDir]) -> None:
    practice = [
        [(d.condition, d.clip) for d in drafts if d.role == "practice"]
        for drafts in draw(runs).sessions.values()
    ]
    assert len(set(map(tuple, practice))) == 1
    assert [condition for condition, _ in practice[0]][:2] == ["Low anchor", "Recording"]


def test_headphone_check_asks_for_every_place(runs: list[RunDir]) -> None:
    for drafts in draw(runs).sessions.values():
        tones = [d for d in drafts if d.role == "headphones"]
        assert Counter(d.expected for d in tones) == {(n, n): 2 for n in (1, 2, 3)}
    assert not any(
        d.role == "headphones" for ds in draw(runs, headphones=False).sessions.values() for d in ds
    )


def test_pairs_of_the_same_speaker(runs: list[RunDir]) -> None:
    design = draw(runs, parts=("smos_speaker",))
    assert [c.name for c in design.conditions["smos_speaker"]][2:] == ["Recording", "Other speaker"]
    coins = set()
    for draft in itertools.chain(*design.sessions.values()):
        if draft.part != "smos_speaker":
            continue
        assert len(draft.sounds) == 2
        coins.add(draft.sounds[0].condition == COUNTERPART)
        assert spoken_by(draft, COUNTERPART) == speaker(draft)
        beside = next(s for s in draft.sounds if s.condition == COUNTERPART)
        assert beside.path
        assert beside.path.stem != draft.clip.split("/")[1], "another sentence"
        if draft.condition == "Recording":
            assert spoken_by(draft, "judged") == speaker(draft)
        elif draft.condition == "Other speaker":
            assert GENDERS[spoken_by(draft, "judged")] != GENDERS[speaker(draft)]
        if draft.role == "trap":
            assert draft.sounds[1].kind == "trap", "the message comes last"
    assert coins == {True, False}, "A and B are in either order"


def test_pairs_of_the_same_gender(runs: list[RunDir]) -> None:
    design = draw(runs, parts=("smos_gender",))
    for draft in itertools.chain(*design.sessions.values()):
        if draft.part != "smos_gender":
            continue
        other = spoken_by(draft, COUNTERPART)
        assert other != speaker(draft)
        assert GENDERS[other] == GENDERS[speaker(draft)]
        if draft.condition == "Other gender":
            assert GENDERS[spoken_by(draft, "judged")] != GENDERS[speaker(draft)]


def test_a_stimulus_is_the_same_for_everyone(runs: list[RunDir]) -> None:
    sounds: dict[tuple[str, str], set[tuple[Any, ...]]] = defaultdict(set)
    for drafts in draw(runs, parts=("smos_speaker",)).sessions.values():
        for draft in rated(drafts, "smos_speaker"):
            sounds[draft.condition, draft.clip].add(draft.sounds)
    assert {len(found) for found in sounds.values()} == {1}


def test_swapped_clips_are_judged_beside_the_voice(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    runs = [read_run(path) for path in make_runs(tmp_path, swapped=True, n_clips=8)]
    with pytest.raises(BadInput, match="--clips own or --clips swapped"):
        make_design(runs, PRESETS["paper"])
    design = make_design(runs, from_preset("paper-swaps", subjects=8, n_clips=30))
    for drafts in design.sessions.values():
        mine = rated(drafts, "smos_speaker")
        assert len({draft.clip for draft in mine}) == 30
        for draft in mine:
            voice = draft.clip.split("→")[1]
            assert spoken_by(draft, COUNTERPART) == voice
            if draft.condition == "Recording":
                assert spoken_by(draft, "judged") == voice
        for draft in rated(drafts):
            if draft.condition == "Recording":
                assert draft.sounds[0].path
                assert draft.sounds[0].path.stem in draft.clip, "quality: of the clip itself"


def test_recordings_given_as_a_run_are_the_hidden_reference(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    paths = make_runs(tmp_path, ("Model", "Studio"), kinds=("model", "recording"))
    design = draw([read_run(path) for path in paths])
    assert [c.name for c in design.conditions["mos"]] == ["Model", "Studio", "Low anchor"]
    golds = {d.condition for ds in design.sessions.values() for d in ds if d.role == "gold"}
    assert golds == {"Studio", "Low anchor"}


def test_unusable_files_are_replaced_and_told(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    paths = make_runs(tmp_path)
    for stem in ("bwaz0n0", "lwaz0n0"):
        soundfile.write(paths[1] / "wavs" / f"anna_{stem}.wav", np.zeros(4800), 16_000)
    design = draw([read_run(path) for path in paths], practice=0, golds=0, traps=0)
    heard = {d.clip for ds in design.sessions.values() for d in ds}
    assert not heard & {"anna/bwaz0n0", "anna/lwaz0n0"}
    assert any("silent" in note for note in design.notes)
    with pytest.raises(BadInput, match="anna has 3 usable clips in all runs, 5 were requested"):
        draw([read_run(path) for path in paths], clips_per_speaker=5)


def test_clips_that_not_all_runs_have_are_left_out(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    paths = make_runs(tmp_path)
    lines = (paths[1] / "clips.jsonl").read_text().splitlines()
    (paths[1] / "clips.jsonl").write_text("\n".join(lines[:1] + lines[3:]) + "\n")
    design = draw([read_run(path) for path in paths])
    assert "2 clips are left out: not every run has them." in design.notes


def test_without_recordings_only_the_systems_are_judged(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    paths = make_runs(tmp_path)
    for path in paths:
        text = (path / "clips.jsonl").read_text().replace("../recordings", "../gone")
        (path / "clips.jsonl").write_text(text)
    runs = [read_run(path) for path in paths]
    with pytest.raises(BadInput, match="file_missing"):
        draw(runs)
    design = draw(runs, reference=False, anchor=False, golds=0)
    assert [c.name for c in design.conditions["mos"]] == ["Alpha", "Beta"]


def test_one_gender_has_no_gender_anchor(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    paths = make_runs(tmp_path, speakers=("bert", "dirk"))
    parts = ("smos_speaker", "smos_gender")
    design = draw([read_run(path) for path in paths], parts=parts)
    assert [c.name for c in design.conditions["smos_speaker"]][-1] == "Other speaker"
    assert [c.name for c in design.conditions["smos_gender"]][-1] == "Recording"
    assert any("no 'Other gender'" in note for note in design.notes)


def test_speakers(runs: list[RunDir]) -> None:
    named = draw(runs, speakers=("dirk", "anna"))
    assert {speaker(d) for d in rated(named.sessions["S01"])} == {"dirk", "anna"}
    for seed in range(6):
        drawn = draw(runs, n_speakers=2, seed=seed)
        genders = {GENDERS[speaker(d)] for d in rated(drawn.sessions["S01"])}
        assert genders == {"female", "male"}, "in balance"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speakers": ("eve",)}, "no run has clips of eve; choose from anna, bert"),
        ({"n_speakers": 5}, "clips of 4 speakers, 5 were requested"),
        ({"clips_per_speaker": 6}, "anna has 5 usable clips"),
        ({"clips_per_speaker": None, "n_clips": 21}, "share 20 usable clips"),
        ({"per_subject": 13}, "there are 12 sentences, not 13"),
        ({"blocks": 5}, "there are 4 conditions for 5 blocks"),
        ({"repeats": 5}, "5 repeats are too many for 12 trials; pass --repeats 4"),
        ({"parts": ("mos", "mus")}, "choose each at most once from mos, smos_speaker, smos_gender"),
        ({"subjects": 0}, "0 is no usable number of subjects"),
        ({"level_dbov": -3.0}, "-3 dBov"),
        ({"title": " "}, "title or consent is empty"),
        ({"traps": -1}, "traps is -1"),
    ],
)
def test_what_cannot_be_is_one_line(
    runs: list[RunDir], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput) as error:
        draw(runs, **options)
    assert message in str(error.value)


def test_systems_may_not_be_named_as_conditions(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    runs = [read_run(path) for path in make_runs(tmp_path, ("Low anchor",))]
    with pytest.raises(BadInput, match="a run is named 'Low anchor'"):
        draw(runs)


def test_presets_can_be_changed() -> None:
    assert from_preset("paper", speakers=("s1",)).n_speakers is None
    assert from_preset("paper", n_clips=7).clips_per_speaker is None
    assert from_preset("paper-swaps", clips_per_speaker=7).n_clips is None
    assert from_preset("paper", seed=None).seed == 0
    assert (PRESETS["paper-swaps"].n_clips, PRESETS["paper-swaps"].swapped) == (30, True)
