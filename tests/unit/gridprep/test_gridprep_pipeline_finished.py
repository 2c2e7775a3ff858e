"""Clips that are known to be finished are not judged anew; whatever changed about one is found all the
same, and it alone is judged, and made again where it must be."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builds import STUB, add_clip, digests

from gridprep.pipeline import finished, planning, unchanged
from gridprep.pipeline import run as build
from gridprep.pipeline.recipe import Recipe, is_done
from gridprep.pipeline.run import run
from gridprep.pipeline.selection import BuildOptions
from gridprep.pipeline.state import StateStore, encode_state
from manifests.corpus_lists import stems_of
from manifests.specs import CropSpec, LandmarkSpec

RECIPE = Recipe(landmarks=LandmarkSpec(backend=STUB), content="off")
STEMS = stems_of("s1")[:4]
CLIP = f"s1/{STEMS[1]}"


class Serial:
    """Runs the clips in this process, the first `most` of them; then it is as if it were killed."""

    most = 1000

    def map(self, function: Any, items: list[Any]) -> Iterator[Any]:
        for number, item in enumerate(items):
            if number == self.most:
                raise SystemExit
            yield function(item)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, stub: str) -> list[str]:
    """The clips that a build judges by their states; cleared by whoever asks."""
    del stub
    monkeypatch.setattr(build, "create_executor", lambda *_: Serial())
    seen: list[str] = []

    def noted(task: Any, *more: Any) -> bool:
        seen.append(task.clip.clip_id)
        return is_done(task, *more)

    monkeypatch.setattr(planning, "is_done", noted)
    return seen


@pytest.fixture
def corpus(tmp_path: Path, sound_clip: Path) -> Path:
    for stem in STEMS:
        add_clip(tmp_path / "corpus", "s1", stem, sound_clip)
    return tmp_path / "corpus"


def options(corpus: Path, **more: Any) -> BuildOptions:
    chosen: dict[str, Any] = {"recipe": RECIPE} | more
    return BuildOptions(corpus=str(corpus), out=str(corpus.parent / "out"), **chosen)


def test_a_second_build_judges_no_clip(corpus: Path, judged: list[str]) -> None:
    run(options(corpus))
    judged.clear()
    report = run(options(corpus))
    assert (report.processed, report.reused, judged) == (0, 4, [])
    # One stage of it alone, and the lists of another split, are no reason either.
    assert run(options(corpus, targets=("mels",))).reused == 4
    assert run(options(corpus, split="all-seen")).reused == 4
    assert judged == []


def video(corpus: Path) -> Path:
    return corpus / f"{CLIP}.mpg"


def replaced(corpus: Path) -> None:
    """Another file of the same size, and of the same time of modification."""
    before = os.stat(video(corpus))
    copy = corpus / "copy"
    data = bytearray(video(corpus).read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(copy, video(corpus))


def touched(corpus: Path) -> None:
    os.utime(video(corpus))


def other_words(corpus: Path) -> None:
    with (corpus / "alignments" / f"{CLIP}.align").open("a", encoding="utf-8") as file:
        file.write("\n")


def no_words(corpus: Path) -> None:
    (corpus / "alignments" / f"{CLIP}.align").unlink()


def artifact(corpus: Path) -> Path:
    (found,) = (corpus.parent / "out" / "mel").glob(f"{CLIP}*")
    return found


def without_artifact(corpus: Path) -> None:
    artifact(corpus).unlink()


def short_artifact(corpus: Path) -> None:
    os.truncate(artifact(corpus), 100)


def other_state(corpus: Path) -> None:
    with StateStore(corpus.parent / "out") as store:
        state = store.get(CLIP)
        state.stages["mels"].key = "x"
        store.put(CLIP, state)


def killed_while_writing(corpus: Path) -> None:
    """The clip was being made when the build was killed: its mel is another of the same size."""
    with StateStore(corpus.parent / "out") as store:
        store.mark_unsure([CLIP])
    artifact(corpus).write_bytes(bytes(artifact(corpus).stat().st_size))


def damaged_note(corpus: Path) -> None:
    with StateStore(corpus.parent / "out") as store:
        store.set_finished([(CLIP, store.remembered(CLIP).mark, "{")])


@pytest.mark.parametrize(
    ("change", "made_again"),
    [
        (replaced, True),
        (touched, True),
        (other_words, True),
        (no_words, True),
        (without_artifact, True),
        (short_artifact, True),
        (other_state, True),
        (killed_while_writing, True),
        (damaged_note, False),
    ],
)
def test_a_clip_of_which_something_changed_is_judged_alone(
    corpus: Path, judged: list[str], change: Callable[[Path], None], made_again: bool
) -> None:
    run(options(corpus))
    before = digests(corpus.parent / "out")
    judged.clear()
    change(corpus)
    report = run(options(corpus))
    assert judged == [CLIP]
    assert (report.processed, report.reused) == (int(made_again), 4 - made_again)
    after = digests(corpus.parent / "out")
    assert after.keys() == before.keys()
    if change is not replaced:
        assert after == before
    judged.clear()
    run(options(corpus))
    # A clip that fails, as one without words does, is judged every time.
    assert judged == ([CLIP] if change in (no_words, damaged_note) else [])


def test_new_and_removed_clips_are_found(corpus: Path, judged: list[str], sound_clip: Path) -> None:
    run(options(corpus))
    judged.clear()
    new = stems_of("s1")[4]
    add_clip(corpus, "s1", new, sound_clip)
    report = run(options(corpus))
    assert (report.processed, report.rows, judged) == (1, 5, [f"s1/{new}"])
    judged.clear()
    video(corpus).unlink()
    report = run(options(corpus))
    assert (report.processed, report.rows, judged) == (0, 4, [])
    assert report.dropped == {"no longer in the corpus": 1}


def test_other_parameters_another_program_and_stages_to_be_redone(
    corpus: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(options(corpus))
    judged.clear()
    report = run(options(corpus, redo=("mels",)))
    assert (report.processed, len(judged)) == (4, 4)
    judged.clear()
    smaller = Recipe(landmarks=LandmarkSpec(backend=STUB), content="off", crop=CropSpec(lips_px=96))
    assert run(options(corpus, recipe=smaller)).processed == len(judged) == 4
    judged.clear()
    monkeypatch.setattr(finished, "program", lambda: "another")
    monkeypatch.setattr(unchanged, "program", lambda: "another")
    assert run(options(corpus, recipe=smaller)).processed == 0
    assert len(judged) == 4


def test_a_build_that_was_killed_in_the_middle_ends_with_the_same_bytes(
    corpus: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All clips are known as finished when a build that makes them anew is killed after two; a third was
    half written."""
    out = corpus.parent / "out"
    run(options(corpus))
    before = digests(out)
    monkeypatch.setattr(Serial, "most", 2)
    with pytest.raises(SystemExit):
        run(options(corpus, redo=("mels",)))
    half = out / "mel" / f"s1/{STEMS[3]}.npy"
    half.write_bytes(bytes(half.stat().st_size))
    monkeypatch.setattr(Serial, "most", 1000)
    judged.clear()
    report = run(options(corpus))
    assert set(judged) >= {f"s1/{stem}" for stem in STEMS[2:]}
    assert report.rows == 4
    assert digests(out) == before
    judged.clear()
    assert run(options(corpus)).processed == 0
    assert judged == []


def test_notes_are_what_the_state_says(corpus: Path, judged: list[str]) -> None:
    """The sizes and times beside a mark are those of the state, not of what lies there later."""
    run(options(corpus))
    out = corpus.parent / "out"
    with StateStore(out) as store:
        remembered, state = store.remembered(CLIP), store.get(CLIP)
        assert remembered.text == encode_state(state)
        assert remembered.files == finished.files_of(state)
        assert len(remembered.mark) == hashlib.sha256().digest_size
        assert store.remembered("s1/unknown") == ("", False, b"", "", False)
    shutil.rmtree(out / "lips")
    run(options(corpus))
    with StateStore(out) as store:
        assert store.remembered(CLIP) == remembered
