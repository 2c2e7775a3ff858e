"""Which clips a build takes, what it refuses before it starts, and what its commands say."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builds import STUB, add_clip, count_states, digests, gridprep, times_ns
from clips import pictures, tiny_clip

from gridprep.pipeline import run as build
from gridprep.pipeline import selection, unchanged
from gridprep.pipeline.planning import plan
from gridprep.pipeline.recipe import ALL_STAGES, ClipTask, Recipe
from gridprep.pipeline.run import estimate, run
from gridprep.pipeline.selection import BuildOptions, Selection, select, with_versions
from gridprep.pipeline.stages import process_clip
from gridprep.pipeline.state import STATE_FOLDER, StateStore
from manifests.corpus_lists import stems_of
from manifests.errors import BadInput, MissingDependency, TooManyFailures
from manifests.execution import Died
from manifests.io import read_jsonl, read_manifest, validate
from manifests.records import ClipFailure
from manifests.specs import CropSpec, LandmarkSpec

RECIPE = Recipe(landmarks=LandmarkSpec(backend=STUB), content="off")
STEMS = {"s1": stems_of("s1")[:3], "s2": stems_of("s2")[:2], "s30": stems_of("s30")[:1]}


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch, stub: str) -> None:
    """Runs a build's clips in this process: what is tested here is what goes around them."""

    class Serial:
        def map(self, function: Any, items: list[Any]) -> Any:
            yield from map(function, items)

    monkeypatch.setattr(build, "create_executor", lambda *_: Serial())


@pytest.fixture
def corpus(tmp_path: Path, sound_clip: Path) -> Path:
    """Six clips of three speakers."""
    for speaker, stems in STEMS.items():
        for stem in stems:
            add_clip(tmp_path / "corpus", speaker, stem, sound_clip)
    return tmp_path / "corpus"


def options(corpus: Path, **more: Any) -> BuildOptions:
    chosen: dict[str, Any] = {"recipe": RECIPE, "split": "large-unseen"} | more
    return BuildOptions(corpus=str(corpus), out=str(corpus.parent / "out"), **chosen)


def ids(chosen: Selection) -> list[str]:
    return [clip.clip_id for clip in chosen.clips]


# -- which clips ------------------------------------------------------------------------------------


def test_limit_deals_over_the_speakers(corpus: Path) -> None:
    s1, s2, s30 = STEMS["s1"], STEMS["s2"], STEMS["s30"]
    assert ids(select(options(corpus, limit=3))) == [f"s1/{s1[0]}", f"s2/{s2[0]}", f"s30/{s30[0]}"]
    assert ids(select(options(corpus, limit=4)))[:2] == [f"s1/{s1[0]}", f"s1/{s1[1]}"]
    assert len(ids(select(options(corpus, limit=100)))) == 6
    assert len(ids(select(options(corpus)))) == 6


def test_speakers_and_split_choose(corpus: Path) -> None:
    assert ids(select(options(corpus, speakers=("s2",)))) == [f"s2/{s}" for s in STEMS["s2"]]
    small = select(options(corpus, split="small"))
    assert {clip.speaker for clip in small.clips} == {"s1", "s2"}
    (corpus / "s2" / "holiday.mpg").write_bytes(b"")
    assert [f.reason for f in select(options(corpus)).find_failures] == ["not_a_stem"]
    assert select(options(corpus, speakers=("s1",))).find_failures == ()


def test_a_choice_without_clips_names_who_is_there(corpus: Path) -> None:
    with pytest.raises(BadInput, match=r"no clip for this choice \(speakers found: s1, s2, s30\)"):
        select(options(corpus, speakers=("s5",)))


def test_versions_of_libraries_are_in_the_keys() -> None:
    versions = dict(with_versions(Recipe()).library_versions)
    assert re.fullmatch(r"facemesh 1/(litert|opencv)/bbff11cebd/1055cb9d4a", versions["align"])
    assert versions["decode"].startswith("av ")
    assert " face " in versions["crop"]
    assert set(versions) <= set(ALL_STAGES)


def test_weights_of_a_backend_are_in_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    class Backend:
        version = "1.5/weights-abc"

        def close(self) -> None: ...

    given = {}

    def create(name: str, device: str, options: Any) -> Backend:
        given.update(name=name, device=device, options=dict(options))
        return Backend()

    monkeypatch.setattr(selection.registry, "create", create)
    recipe = Recipe(
        landmarks=LandmarkSpec(backend="face-alignment"),
        device="cuda",
        landmark_options=(("fan_weights", "w"),),
    )
    assert dict(with_versions(recipe).library_versions)["align"] == "face-alignment 1.5/weights-abc"
    assert given == {"name": "face-alignment", "device": "cuda", "options": {"fan_weights": "w"}}
    given.clear()
    with_versions(recipe, ("decode", "audio", "mels"))  # mels must not ask for weights
    assert given == {}


# -- what is refused before it starts ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "nonsense"], "there is no split 'nonsense'; choose one of"),
        (["--backend", "slurm"], "unknown execution backend 'slurm'; use local or dask"),
        (["--scheduler", "tcp://x:1"], "--scheduler is for --backend dask; add --backend dask"),
        (["--mel", "nonsense"], "unknown mel preset 'nonsense'; use one of facetron"),
        (["--landmarks", "dlib"], "unknown landmark backend 'dlib'; choose from facemesh"),
        (["--landmark-option", "flip"], "--landmark-option 'flip' is not NAME=VALUE"),
        (["--landmark-option", "flip=true"], "landmark backend facemesh has no option flip"),
        (["--device", "cuda"], "landmark backend facemesh runs on the CPU only, not on 'cuda'"),
        (["--lips-format", "gif"], "unknown crop format 'gif'; use one of"),
        (["--speakers", "s99"], "'s99' is not a speaker with video"),
        (["--speakers", "s5"], "has no clip for this choice (speakers found: s1, s2, s30)"),
    ],
)
def test_unknown_names_are_one_line(corpus: Path, arguments: list[str], says: str) -> None:
    out = corpus.parent / "out"
    code, printed, error = gridprep("build", "--corpus", corpus, "--out", out, *arguments)
    assert code == 2
    assert printed == ""
    assert says in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_bad_numbers_are_refused_by_the_command_line(corpus: Path) -> None:
    for arguments in (
        ["--jobs", "0"],
        ["--limit", "-1"],
        ["--max-failures", "-2"],
        ["--every", "0"],
    ):
        code, _, error = gridprep("build", "--corpus", corpus, "--out", corpus.parent, *arguments)
        assert code == 2
        assert arguments[0] in error


def test_folders_that_cannot_be_are_one_line(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(corpus)
    for source, out, says in (
        (
            tmp_path / "absent",
            "out",
            "absent does not exist; give the folder that holds your videos",
        ),
        (tmp_path / "empty", "out", "empty holds no video file"),
        (corpus, "file", "file is not a folder; choose an empty folder"),
        (corpus, "file/out", "file/out: Not a directory"),
        (corpus, "corpus", "itself; choose another --out"),
        (corpus, "link", "itself; choose another --out"),
    ):
        code, _, error = gridprep("build", "--corpus", source, "--out", tmp_path / out)
        assert code == 2
        assert says in error
        assert error.count("\n") == 1


def test_a_missing_weight_file_says_so_before_the_first_clip(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(*_: Any) -> None:
        raise MissingDependency("no weights", "get them")

    monkeypatch.setattr(selection.registry, "create", create)
    out = corpus.parent / "out"
    code, _, error = gridprep(
        "build", "--corpus", corpus, "--out", out, "--landmarks", "face-alignment"
    )
    assert (code, error) == (3, "gridprep: no weights; get them\n")
    assert not out.exists()


# -- dry run ----------------------------------------------------------------------------------------


def test_a_dry_run_estimates_and_writes_nothing(corpus: Path, stub: str) -> None:
    out = corpus.parent / "out"
    code, printed, _ = gridprep(
        "build", "--corpus", corpus, "--out", out, "--landmarks", stub, "--jobs", "2", "--dry-run"
    )
    assert code == 0
    assert re.fullmatch(
        r"6 clips, 6 to work on, 0 known failures; about \d MB and \d s with 2 jobs "
        r"\(from 4 clips tried in a temporary folder\)\n",
        printed,
    )
    assert printed.count("\n") == 1
    assert sorted(p.name for p in corpus.parent.iterdir()) == ["corpus"]
    expected = estimate(options(corpus, limit=2))
    assert (expected.clips, expected.to_do, expected.sampled) == (2, 2, 2)
    assert 1e6 < expected.size_bytes < 4e6  # noisy pictures
    assert 0 < expected.wall_s < 60


def test_a_dry_run_tells_what_is_no_clip(corpus: Path, stub: str) -> None:
    out = corpus.parent / "out"
    (corpus / "list.csv").write_text(f"video\ngone.mp4\ns1/{STEMS['s1'][0]}.mpg\nbad.mpg\n")
    (corpus / "bad.mpg").write_bytes(b"x")
    arguments = ("build", "--corpus", corpus / "list.csv", "--out", out, "--landmarks", stub)
    code, printed, _ = gridprep(*arguments, "--dry-run")
    assert code == 0
    absent, balance, tried, bad = printed.splitlines()
    assert absent == "  1 × absent: e.g. corpus/gone: list.csv, line 2: gone.mp4 does not exist"
    assert balance.startswith("3 clips, 2 to work on, 1 known failures; about ")
    assert tried == "of the 2 clips tried:"
    assert bad.startswith("  1 × not_media: e.g. corpus/bad: ")
    code, printed, _ = gridprep(*arguments, "--dry-run", "--json")
    told = json.loads(printed)
    assert (told["clips"], told["failures_known"], told["sampled_failures"]) == (3, 1, 1)
    # Nor does a limit leave nothing to say of a list of which nothing is there.
    (corpus / "list.csv").write_text("video\ngone.mp4\n")
    code, printed, _ = gridprep(*arguments, "--limit", "5")
    assert code == 6
    assert "gone.mp4 does not exist" in printed


# -- a run ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("serial")
def test_rows_and_failures_are_the_clips(corpus: Path) -> None:
    red = pictures()
    red[..., 0] = 255
    tiny_clip(corpus / "s2" / f"{STEMS['s2'][1]}.mpg", frames=red)
    (corpus / "s1" / f"{STEMS['s1'][1]}.mpg").write_bytes(b"")
    (corpus / "s30" / "holiday.mpg").write_bytes(b"x")
    report = run(options(corpus))
    assert (report.clips, report.rows, report.processed, report.reused) == (7, 4, 6, 0)
    out = corpus.parent / "out"
    header, rows = read_manifest(out)
    assert header["rows"] == 4
    assert header["held_out_speakers"] == ["s1", "s2", "s4", "s29"]
    validate(rows, out)
    _, failures = read_jsonl(out / "failures.jsonl", "failures", ClipFailure)
    assert failures == list(report.failures)
    found = {(f.clip_id, f.stage, f.reason) for f in failures}
    assert found == {
        ("s30/holiday", "find", "not_a_stem"),
        (f"s1/{STEMS['s1'][1]}", "decode", "empty_file"),
        (f"s2/{STEMS['s2'][1]}", "align", "no_face"),
    }
    assert all(not f.video.startswith("/") for f in failures)
    subsets = {row.speaker: row.subset for row in rows}
    assert (subsets["s1"], subsets["s2"]) == ("test", "test")
    provenance = json.loads((out / "provenance.json").read_text())
    assert (provenance["clips"], provenance["rows"]) == (7, 4)
    assert provenance["failures"] == {"not_a_stem": 1, "empty_file": 1, "no_face": 1}
    again = run(options(corpus))
    assert (again.processed, again.reused, again.rows) == (0, 6, 4)


@pytest.mark.usefixtures("serial")
def test_stage_commands_share_the_cache(corpus: Path) -> None:
    out = corpus.parent / "out"
    common = ("--corpus", corpus, "--out", out, "--limit", "2")
    marks = ("--landmarks", STUB)
    code, printed, _ = gridprep("align", *common, *marks)
    assert code == 0
    assert printed.startswith("2 done + 0 failures = 2 clips (2 worked on, 0 unchanged")
    assert {p.split("/")[0] for p in digests(out)} == {"landmarks"}
    assert gridprep("crop", *common, *marks)[0] == 0
    assert gridprep("mels", *common)[0] == 0
    before = times_ns(out)
    code, printed, _ = gridprep("manifest", *common, *marks)
    assert code == 6
    assert "0 rows + 2 failures = 2 clips" in printed
    assert "2 × not_built: e.g. " in printed
    assert "not done, or with other parameters: alignment, sync, content" in printed
    done: list[tuple[str, ...]] = []

    def remember(task: ClipTask) -> Any:
        result = process_clip(task)
        done.append(result.done_stages)
        return result

    build.process_clip = remember  # type: ignore[assignment]  # the stub fixture puts it back
    code, printed, _ = gridprep("build", *common, *marks)
    assert code == 0
    assert done == [("alignment", "sync", "content")] * 2
    assert times_ns(out) == before
    code, printed, _ = gridprep("manifest", *common, *marks)
    assert code == 0
    assert "2 rows + 0 failures = 2 clips (0 worked on, 2 unchanged" in printed


@pytest.mark.usefixtures("serial")
def test_a_manifest_is_never_of_other_features(corpus: Path) -> None:
    """Neither one written for parameters that the features do not have, nor an old one left beside
    features that are being replaced."""
    out = corpus.parent / "out"
    mine = options(corpus, limit=2)
    run(mine)
    (clip, other) = select(mine).clips
    crops = replace(mine, recipe=replace(RECIPE, crop=CropSpec(face_every=25)))
    report = run(replace(crops, targets=()))
    assert report.rows == 0
    assert {f.reason for f in report.failures} == {"not_built"}
    run(replace(mine, targets=()))
    assert len(read_manifest(out)[1]) == 2
    (out / "lips" / f"{clip.clip_id}.avi").unlink()
    run(replace(mine, targets=("crop",)))
    assert (out / "manifest.jsonl").exists(), "the same features again: the manifest is true"
    run(replace(crops, targets=("crop",), limit=1))
    left = {p.name for p in out.iterdir()}
    assert not left & {"manifest.jsonl", "train.csv", "val.csv", "test.csv"}
    report = run(replace(mine, targets=()))
    assert (report.rows, [f.clip_id for f in report.failures]) == (1, [clip.clip_id])
    assert [row.clip_id for row in read_manifest(out)[1]] == [other.clip_id]


@pytest.mark.usefixtures("serial")
def test_max_failures_stops_and_what_is_done_is_kept(corpus: Path) -> None:
    bad = [f"s1/{STEMS['s1'][0]}", f"s1/{STEMS['s1'][1]}"]
    for clip_id in bad:
        (corpus / f"{clip_id}.mpg").write_bytes(b"no video")
    out = corpus.parent / "out"
    arguments = ("build", "--corpus", corpus, "--out", out, "--landmarks", STUB, "--max-failures")
    code, _, error = gridprep(*arguments, "1")
    assert code == 5
    (line,) = [text for text in error.splitlines() if text.startswith("gridprep: ")]
    assert line.startswith(f"gridprep: 2 clips failed (2 not_media; the last: {bad[1]}: ")
    assert line.endswith("--max-failures is 1; what is done is kept: raise it to go on")
    assert not (out / "manifest.jsonl").exists()
    assert gridprep(*arguments, "1")[0] == 5  # not one clip more
    assert count_states(out) == 2
    code, printed, _ = gridprep(*arguments, "2")
    assert code == 0
    assert "4 rows + 2 failures = 6 clips (4 worked on, 2 unchanged" in printed
    code, printed, _ = gridprep(*arguments[:-1])
    assert code == 6
    assert "2 × not_media: e.g. " in printed
    shutil.rmtree(out)
    with pytest.raises(TooManyFailures):
        run(options(corpus, max_failures=0))


def test_a_clip_that_kills_workers_is_a_failure_and_is_tried_again(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, stub: str
) -> None:
    class Deadly:
        def map(self, function: Any, items: list[ClipTask]) -> Any:
            yield Died(items[0], "the worker process died on it twice")
            yield from map(function, items[1:])

    monkeypatch.setattr(build, "create_executor", lambda *_: Deadly())
    report = run(options(corpus))
    assert (report.rows, report.clips) == (5, 6)
    (failure,) = report.failures
    assert (failure.stage, failure.reason) == ("worker", "worker_died")
    assert failure.clip_id == f"s1/{STEMS['s1'][0]}"
    mine = replace(options(corpus), recipe=with_versions(RECIPE))
    with StateStore(mine.out) as store:
        planned = plan(mine, select(mine).clips, store)
    assert [clip.clip_id for clip in planned.tasks.clips] == [failure.clip_id]


@pytest.mark.usefixtures("serial")
def test_nothing_to_do_touches_nothing(corpus: Path) -> None:
    run(options(corpus, limit=3))
    out = corpus.parent / "out"
    before = times_ns(out, "lips", "face", "audio", "mel", "prosody", "landmarks", STATE_FOLDER)
    report = run(options(corpus, limit=3))
    assert (report.processed, report.reused) == (0, 3)
    assert times_ns(out, *{path.split("/")[0] for path in before}) == before


# -- what a folder holds already --------------------------------------------------------------------


@pytest.mark.usefixtures("serial")
def test_lists_are_written_again_only_where_they_would_change(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = corpus.parent / "out"
    (corpus / "s1" / "notes.mpg").write_bytes(b"no stem")
    first = run(options(corpus))
    lists = {name: (out / name).read_bytes() for name in unchanged.LISTS}
    written: list[str] = []
    original = build.write_manifest

    def write(*arguments: Any) -> build.BuildReport:
        written.append("lists")
        return original(*arguments)

    monkeypatch.setattr(build, "write_manifest", write)

    def again(**more: Any) -> tuple[int, build.BuildReport]:
        written.clear()
        report = run(options(corpus, **more))
        return len(written), report

    count, report = again()
    assert count == 0
    assert (report.rows, report.failures) == (first.rows, first.failures)
    assert (report.processed, report.reused) == (0, first.processed)
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["manifest_sha256"] == hashlib.sha256(lists["manifest.jsonl"]).hexdigest()
    # A list that somebody changed or lost, another split, another selection, another program.
    with (out / "manifest.jsonl").open("a") as file:
        file.write("{}\n")
    assert again()[0] == 1
    (out / "val.csv").unlink()
    assert again()[0] == 1
    assert {name: (out / name).read_bytes() for name in unchanged.LISTS} == lists
    assert again(split="all-seen")[0] == 1
    assert again(split="all-seen")[0] == 0
    assert again()[0] == 1
    assert again(speakers=("s1",))[0] == 1
    assert again()[0] == 0
    monkeypatch.setattr(unchanged, "program", lambda: "another")
    assert again()[0] == 1
    assert {name: (out / name).read_bytes() for name in unchanged.LISTS} == lists


@pytest.mark.usefixtures("serial")
def test_a_selection_adds_to_the_build(corpus: Path) -> None:
    out = corpus.parent / "out"
    (corpus / "s1" / f"{STEMS['s1'][1]}.mpg").write_bytes(b"")
    (corpus / "s1" / "holiday.mpg").write_bytes(b"x")
    (corpus / "s30" / "picnic.mpg").write_bytes(b"x")
    first = run(options(corpus, speakers=("s1",)))
    assert (first.rows, first.clips, first.kept) == (2, 4, 0)
    second = run(options(corpus, speakers=("s2",)))
    assert (second.processed, second.reused, second.kept, second.dropped) == (2, 0, 4, {})
    assert (second.rows, second.clips) == (4, 6)
    _, rows = read_manifest(out)
    assert [row.speaker for row in rows] == ["s1", "s1", "s2", "s2"]
    assert {f.clip_id for f in second.failures} == {f"s1/{STEMS['s1'][1]}", "s1/holiday"}
    smaller = run(options(corpus, limit=1))
    assert (smaller.rows, smaller.clips, smaller.kept) == (4, 6, 5)
    again = run(replace(options(corpus, speakers=("s2",)), targets=()))
    assert (again.rows, again.clips) == (4, 6)


@pytest.mark.usefixtures("serial")
def test_what_is_not_listed_any_more_is_said(corpus: Path) -> None:
    out = corpus.parent / "out"
    arguments = ("build", "--corpus", corpus, "--out", out, "--landmarks", STUB)
    assert gridprep(*arguments)[0] == 0
    (corpus / "s30" / f"{STEMS['s30'][0]}.mpg").unlink()
    (corpus / "s1" / f"{STEMS['s1'][0]}.mpg").write_bytes(b"another clip")
    code, printed, _ = gridprep(*arguments, "--speakers", "s2")
    assert code == 0
    assert "4 rows + 0 failures = 4 clips (0 worked on, 2 unchanged" in printed
    assert "2 of them are from earlier builds of this folder" in printed
    assert "1 clips of earlier builds are no longer listed: no longer in the corpus" in printed
    assert "1 clips of earlier builds are no longer listed: made with other options," in printed
    code, printed, _ = gridprep(*arguments, "--speakers", "s2", "--mel", "lip2wav")
    assert "2 rows + 0 failures = 2 clips (2 worked on, 0 unchanged" in printed
    assert "2 clips of earlier builds are no longer listed: made with other options" in printed
    assert [row.speaker for row in read_manifest(out)[1]] == ["s2", "s2"]
    assert json.loads((out / "provenance.json").read_text())["dropped"] == {
        "made with other options, from another source, or incomplete": 2
    }
    code, printed, _ = gridprep(*arguments, "--split", "small", "--speakers", "s2")
    assert code == 0


@pytest.mark.usefixtures("serial")
def test_a_state_without_a_key_makes_one_clip_stale_and_nothing_else(corpus: Path) -> None:
    out = corpus.parent / "out"
    run(options(corpus))
    before = digests(out)
    clip_id = f"s1/{STEMS['s1'][0]}"
    path = out / STATE_FOLDER / "clips.sqlite"
    for key in ("samples", "mel_frames", "words", "sha256", "key"):
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute(
                "UPDATE clips SET state = replace(state, ?, 'x') WHERE clip_id = ?",
                (f'"{key}"', clip_id),
            )
        report = run(options(corpus))
        assert (report.rows, report.failures, report.processed) == (6, (), 1)
    assert digests(out) == before


@pytest.mark.usefixtures("serial")
def test_a_worker_whose_files_are_not_here_is_not_believed(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine where the build folder's path leads elsewhere."""
    elsewhere = corpus.parent / "elsewhere"

    def write_elsewhere(task: ClipTask) -> Any:
        if task.clip.speaker != "s2":
            return process_clip(task)
        return process_clip(replace(task, build=str(elsewhere)))

    monkeypatch.setattr(build, "process_clip", write_elsewhere)
    report = run(options(corpus))
    assert (report.rows, report.clips) == (4, 6)
    assert {(f.speaker, f.stage, f.reason) for f in report.failures} == {
        ("s2", "worker", "not_written")
    }
    assert "do all workers share --out?" in report.failures[0].detail
    monkeypatch.setattr(build, "process_clip", process_clip)
    report = run(options(corpus))
    assert (report.rows, report.processed) == (6, 2)


@pytest.mark.usefixtures("serial")
def test_old_files_of_the_same_size_do_not_pass_for_those_of_a_far_worker(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Dask the content is compared: what lies here from before has the very name and size."""
    out = corpus.parent / "out"
    run(options(corpus, limit=1))
    (sound,) = (out / "audio" / "s1").iterdir()
    sound.write_bytes(b"\0" * sound.stat().st_size)
    elsewhere = str(corpus.parent / "elsewhere")
    monkeypatch.setattr(
        build, "process_clip", lambda task: process_clip(replace(task, build=elsewhere))
    )
    report = run(options(corpus, limit=1, redo=("audio",), backend="dask"))
    assert [f.reason for f in report.failures] == ["not_written"]


@pytest.mark.usefixtures("serial")
def test_a_stage_can_be_redone(corpus: Path) -> None:
    out = corpus.parent / "out"
    arguments = ("build", "--corpus", corpus, "--out", out, "--landmarks", STUB, "--limit", "2")
    assert gridprep(*arguments)[0] == 0
    before, contents = times_ns(out), digests(out)
    code, printed, _ = gridprep(*arguments, "--redo", "crop")
    assert code == 0
    assert "(2 worked on, 0 unchanged" in printed
    moved = {path.split("/")[0] for path, time in times_ns(out).items() if before[path] != time}
    assert moved == {"lips", "face"}
    assert digests(out) == contents
    code, _, error = gridprep(*arguments, "--redo", "nonsense")
    assert code == 2
    assert "'nonsense' is not one of" in error


@pytest.mark.usefixtures("serial")
def test_scripts_get_one_json_object(corpus: Path) -> None:
    out = corpus.parent / "out"
    (corpus / "s1" / f"{STEMS['s1'][1]}.mpg").write_bytes(b"")
    arguments = ("build", "--corpus", corpus, "--out", out, "--landmarks", STUB, "--json")
    code, printed, _ = gridprep(*arguments)
    values = json.loads(printed)
    assert code == values["exit_code"] == 6
    assert (values["rows"], values["failures"], values["clips"]) == (5, 1, 6)
    assert values["reasons"] == {"empty_file": 1}
    assert values["manifest"] == str(out / "manifest.jsonl")
    code, printed, _ = gridprep(*arguments, "--dry-run", "--limit", "1")
    assert code == 0
    assert json.loads(printed)["clips"] == 1
    code, printed, _ = gridprep(
        "verify", corpus, "--quick", "--json", "--out", corpus.parent / "verify.json"
    )
    values = json.loads(printed)
    assert code == values["exit_code"] == 6
    assert values["counts"]["failed"] == 1
    assert values["report"] == str(corpus.parent / "verify.json")


@pytest.mark.usefixtures("serial")
def test_a_folder_of_somebody_else_is_left_alone(corpus: Path) -> None:
    out = corpus.parent / "thesis"
    out.mkdir()
    (out / "chapter1.tex").touch()
    code, _, error = gridprep("build", "--corpus", corpus, "--out", out)
    assert code == 2
    assert "is not empty (chapter1.tex) and was not made as a build" in error
    assert [p.name for p in out.iterdir()] == ["chapter1.tex"]
