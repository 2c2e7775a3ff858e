"""What a report says of the recordings that its recognizer was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.inputs.build_files import corpus_name
from evaluation.inputs.pairs import RunDir, read_run
from evaluation.metrics.base import select
from evaluation.models import registry
from evaluation.models.las_recognizer import heard_in_training as heard_by_las
from evaluation.reporting.heard import Heard, heard_in_training
from evaluation.scoring.run import ScoredRun
from evaluation.scoring.settings import read_settings
from evaluation.training.recognizer_command import UNSEEN
from gridprep.corpora.registry import RECIPES
from manifests.corpus_names import LABELS
from manifests.io import write_jsonl


def heard_of_grid(name: str) -> frozenset[tuple[str, str]]:
    training = heard_by_las(registry.create(name).parameters["weights_sha256"])
    assert training is not None
    found = training["grid"]
    assert found
    return found


def test_the_shipped_recognizer_says_what_it_heard() -> None:
    counts: dict[str, int] = {}
    for speaker, _ in heard_of_grid("las"):
        counts[speaker] = counts.get(speaker, 0) + 1
    told = "s1 840, s2 16, s3 15, s4 14, s30 8, s31 8, s32 8, s34 8"
    assert counts == {name: int(n) for name, n in (x.split() for x in told.split(", "))}
    assert heard_by_las("another") is None
    assert registry.heard_in_training("pocketsphinx", {}) == {}
    assert registry.heard_in_training("whisper", {}) is None


def test_the_recognizer_of_the_protocol_heard_nobody_whom_it_keeps() -> None:
    made = registry.create("las-unseen")
    heard = registry.heard_in_training("las-unseen-grammar", made.parameters)
    assert heard
    for corpus in ("grid", "synthgrid"):
        assert heard[corpus]
        assert not {speaker for speaker, _ in heard[corpus]} & set(UNSEEN)
    assert "las-unseen" in registry.unheard("synthgrid", UNSEEN)
    assert registry.unheard("grid", UNSEEN) == ("las-unseen",)
    assert registry.unheard("grid", ("s3", "s5")) == ()
    assert registry.unheard("grid", ("s6",)) == ("las", "las-unseen")
    assert registry.unheard("lrw", ("s3",)) == ("las", "las-unseen")
    assert made.parameters["weights_sha256"] != registry.create("las").parameters["weights_sha256"]
    assert registry.GRAMMATICAL["las-unseen"] in registry.GRID_ONLY


def scored_of(run: RunDir, corpus: str, names: Iterable[tuple[str, str]]) -> ScoredRun:
    """A run of clips of these names, said to be of a corpus."""
    template = run.clips[0]
    clips = tuple(replace(template, speaker=s, stem=stem) for s, stem in names)
    return ScoredRun(replace(run, clips=clips, info=replace(run.info, corpus=corpus)), {}, 0)


def told_by(scored: Sequence[ScoredRun], recognizer: str = "las") -> dict[tuple[str, str], Heard]:
    metrics, _ = select(
        ("wer", "wer_grammar", "wer_second", "stoi"),
        read_settings([item.run for item in scored], recognizer=recognizer),
    )
    return {(h.recognizer, h.corpus): h for h in heard_in_training(scored, metrics)}


def test_clips_that_were_trained_on_are_counted(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    known = min(stem for speaker, stem in heard_of_grid("las") if speaker == "s1")
    scored = [scored_of(run, "grid", [("s1", known), ("s29", "bbaf2n"), ("s29", "lgbf6s")])]
    told = told_by(scored)
    own = told["las", "grid"]
    assert (own.heard, own.clips, own.speakers) == (1, 3, ("s1",))
    assert "1 of 3 clips of GRID, and other recordings of s1" in own.sentence
    assert own.sentence.endswith("--recognizer las-unseen heard none of these speakers.")
    if ("pocketsphinx", "grid") in told:
        sentence = told["pocketsphinx", "grid"].sentence
        assert "0 of 3" in sentence
        assert "other recordings" not in sentence
    none, _ = select(("stoi",), read_settings([run], recognizer="none"))
    assert heard_in_training(scored, none) == []


def test_clips_count_as_those_of_their_own_corpus(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    training = heard_by_las(registry.create("las-unseen").parameters["weights_sha256"])
    assert training is not None
    of_grid, of_synthgrid = training["grid"], training["synthgrid"]
    assert of_grid
    assert of_synthgrid
    synthetic = min(of_synthgrid - of_grid)
    own = told_by([scored_of(run, "synthgrid", [synthetic])], "las-unseen")[
        "las-unseen", "synthgrid"
    ]
    assert own.heard == 1
    assert "1 of 1 clip of SynthGRID" in own.sentence
    real = told_by([scored_of(run, "grid", [synthetic])], "las-unseen")["las-unseen", "grid"]
    assert real.heard == 0, "GRID's recording of this name was not trained on"
    other = told_by([scored_of(run, "lrw", [min(of_grid)])], "las-unseen")["las-unseen", "lrw"]
    assert (other.heard, other.speakers) == (0, ()), "the recognizers know GRID and SynthGRID alone"


def test_clips_of_an_unknown_corpus_are_said_to_be_unknown(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    known = min(heard_of_grid("las"))
    told = told_by([scored_of(run, "", [known, ("s29", "bbaf2n")])])["las", ""]
    assert "not known, since the corpus of 2 clips is not; 1 if it is GRID" in told.sentence
    # A run of the same recordings that knows its corpus speaks for the others.
    both = told_by([scored_of(run, "", [known]), scored_of(run, "grid", [known])])
    assert ("las", "") not in both
    assert both["las", "grid"].heard == 1


def test_a_card_without_synthgrid_is_told(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    monkeypatch.setattr(
        registry, "heard_in_training", lambda *_: {"grid": frozenset(), "synthgrid": None}
    )
    told = told_by([scored_of(run, "synthgrid", [("s3", "bbaf1s")])])["las", "synthgrid"]
    assert told.heard is None
    assert "which of these 1 clip is not on its card" in told.sentence


def test_the_build_of_the_recordings_says_the_corpus(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    assert corpus_name(run) == "", "a run without it, as older ones are"
    assert corpus_name(replace(run, info=replace(run.info, corpus="grid"))) == "grid"
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", [], corpus_kind="synthgrid")
    claims = replace(run, info=replace(run.info, corpus="grid"))
    assert corpus_name(claims) == "synthgrid", "where the recordings lie is the better witness"
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", [], corpus_kind="folder")
    assert corpus_name(claims) == "grid", "a folder of videos is no corpus with a name"


def test_every_corpus_of_a_build_has_a_name() -> None:
    assert {*LABELS} == {*RECIPES} - {"folder"}
