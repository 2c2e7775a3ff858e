"""What a report says of the recordings that its recognizer was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evaluation.inputs.pairs import read_run
from evaluation.metrics.base import select
from evaluation.models import registry
from evaluation.models.las_recognizer import heard_in_training as heard_by_las
from evaluation.reporting.heard import heard_in_training
from evaluation.scoring.run import ScoredRun
from evaluation.scoring.settings import read_settings
from evaluation.training.recognizer_command import UNSEEN


def test_the_shipped_recognizer_says_what_it_heard() -> None:
    made = registry.create("las")
    heard = heard_by_las(made.parameters["weights_sha256"])
    assert heard is not None
    counts: dict[str, int] = {}
    for speaker, _ in heard:
        counts[speaker] = counts.get(speaker, 0) + 1
    told = "s1 840, s2 16, s3 15, s4 14, s30 8, s31 8, s32 8, s34 8"
    assert counts == {name: int(n) for name, n in (x.split() for x in told.split(", "))}
    assert heard_by_las("another") is None
    assert registry.heard_in_training("pocketsphinx", {}) == frozenset()
    assert registry.heard_in_training("whisper", {}) is None


def test_the_recognizer_of_the_protocol_heard_nobody_whom_it_keeps() -> None:
    made = registry.create("las-unseen")
    heard = registry.heard_in_training("las-unseen-grammar", made.parameters)
    assert heard
    assert not {speaker for speaker, _ in heard} & set(UNSEEN)
    assert registry.unheard(UNSEEN) == ("las-unseen",)
    assert registry.unheard(("s3", "s5")) == ()
    assert registry.unheard(("s6",)) == ("las", "las-unseen")
    assert made.parameters["weights_sha256"] != registry.create("las").parameters["weights_sha256"]
    assert registry.GRAMMATICAL["las-unseen"] in registry.GRID_ONLY


def test_clips_that_were_trained_on_are_counted(
    tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    heard = heard_by_las(registry.create("las").parameters["weights_sha256"])
    assert heard is not None
    known = sorted(stem for speaker, stem in heard if speaker == "s1")[0]
    first, *others = run.clips
    clips = (replace(first, speaker="s1", stem=known), *(replace(c, speaker="s29") for c in others))
    n_clips = len({(clip.speaker, clip.stem) for clip in clips})
    scored = [ScoredRun(replace(run, clips=clips), {}, 0)]
    metrics, _ = select(
        ("wer", "wer_grammar", "wer_second", "stoi"), read_settings([run], recognizer="las")
    )
    told = {heard.recognizer: heard for heard in heard_in_training(scored, metrics)}
    (own,) = [heard for name, heard in told.items() if name.startswith("las")]
    assert (own.heard, own.clips, own.speakers) == (1, n_clips, ("s1",))
    assert f"1 of {n_clips} clips, and other recordings of s1" in own.sentence
    assert own.sentence.endswith("--recognizer las-unseen heard none of these speakers.")
    if "pocketsphinx" in told:
        assert "0 of" in told["pocketsphinx"].sentence
        assert "other recordings" not in told["pocketsphinx"].sentence
    none, _ = select(("stoi",), read_settings([run], recognizer="none"))
    assert heard_in_training(scored, none) == []
