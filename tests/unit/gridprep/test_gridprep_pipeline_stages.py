"""One clip through the stages: what is redone when, what becomes of faults, and what survives a kill."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from builds import STUB, add_clip, digests, load_state, run_task, save_state, times_ns
from clips import write_alignment

from gridprep.features.crop_store import read_pictures
from gridprep.pipeline import stages
from gridprep.pipeline.recipe import (
    ALL_STAGES,
    STAGE_VERSIONS,
    UPSTREAM,
    ClipTask,
    Recipe,
    expected_keys,
    failure_among,
    is_done,
    stale_stages,
    with_upstreams,
)
from gridprep.pipeline.state import ClipState
from manifests.errors import BadInput, MissingDependency
from manifests.features import read_landmarks
from manifests.io import sha256_file
from manifests.records import Clip, ClipFailure
from manifests.specs import AudioSpec, CropSpec, LandmarkSpec

pytestmark = pytest.mark.usefixtures("stub")
RECIPE = Recipe(landmarks=LandmarkSpec(backend=STUB), content="off")
SPEAKER, STEM = "s1", "bbaf2n"


@pytest.fixture(scope="module")
def built(sound_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one clip and its build, made once; tests copy it."""
    from builds import register_stub

    root = tmp_path_factory.mktemp("one clip é")
    add_clip(root / "corpus", SPEAKER, STEM, sound_clip)
    register_stub()
    result = run_task(task_in(root))
    assert result.done_stages == ALL_STAGES
    return root


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """A copy of `built` with its times, in a place of its own."""
    copy = tmp_path / "ä b"
    shutil.copytree(built, copy)
    run_task(task_in(copy))  # the paths of its sources are new
    return copy


def task_in(
    root: Path, recipe: Recipe = RECIPE, targets: tuple[str, ...] = ALL_STAGES, words: bool = True
) -> ClipTask:
    clip = Clip(
        SPEAKER,
        STEM,
        str(root / "corpus" / SPEAKER / f"{STEM}.mpg"),
        str(root / "corpus" / "alignments" / SPEAKER / f"{STEM}.align") if words else "",
        SPEAKER,
    )
    return ClipTask(clip, str(root / "out"), recipe, with_upstreams(targets))


def done(task: ClipTask) -> tuple[str, ...]:
    """The stages that a run does; a second run does none."""
    result = run_task(task)
    assert result.state.failure is None, result.state.failure
    assert result.state == load_state(task.build, task.clip.clip_id)
    assert is_done(task, result.state, task.recipe.stage_parameters())
    assert run_task(task).done_stages == ()
    return result.done_stages


def test_upstreams_are_implied_and_ordered() -> None:
    assert with_upstreams(("align",)) == ("decode", "align")
    assert with_upstreams(("crop",)) == ("decode", "align", "crop")
    assert with_upstreams(("mels",)) == ("decode", "audio", "mels")
    assert with_upstreams(ALL_STAGES) == ALL_STAGES
    assert with_upstreams(()) == ()
    assert set(STAGE_VERSIONS) == set(UPSTREAM)


def test_artifacts_have_the_shapes_that_the_formats_promise(root: Path) -> None:
    out = root / "out"
    state = load_state(str(out), f"{SPEAKER}/{STEM}")
    files = {n: out / p for s in state.stages.values() for n, (p, _, _) in s.files.items()}
    assert read_pictures(files["lips"]).shape == (75, 144, 144, 3)
    assert read_pictures(files["face"]).shape == (15, 160, 160, 3)
    with av.open(
        str(files["lips"])
    ) as container:  # enlarged 1.7 times: half the color is all of it
        assert next(container.decode(video=0)).format.name == "yuvj420p"
    samples, rate_hz = soundfile.read(files["audio"])
    assert (samples.shape, rate_hz) == ((48_000,), 16_000)
    mel = np.load(files["mel"])
    assert (mel.shape, mel.dtype) == ((80, 150), np.float32)
    with np.load(files["prosody"]) as prosody:
        assert {prosody[name].shape for name in prosody.files} == {(150,)}
    landmarks = read_landmarks(str(files["landmarks"]))
    assert landmarks.points_px.shape == (75, 20, 2)
    assert landmarks.found.sum() == 38  # every second frame, of 0 to 74
    words = state.stages["alignment"].data["words"]
    assert [w["word"] for w in words] == ["bin", "blue", "at", "f", "two", "now"]


def test_the_same_source_gives_the_same_bytes(root: Path) -> None:
    before = digests(root / "out")
    shutil.rmtree(root / "out")
    assert done(task_in(root)) == ALL_STAGES
    assert digests(root / "out") == before


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"mels": ("hifigan-22k",)}, ("mels", "content")),
        ({"mels": ("facetron", "lip2wav")}, ("mels", "content")),
        ({"crop": CropSpec(face_every=25)}, ("crop", "content")),
        ({"landmarks": LandmarkSpec(backend=STUB, every=5)}, ("align", "crop", "sync", "content")),
        (
            {"audio": AudioSpec(sample_rate_hz=8000, clip_samples=24_000)},
            ("audio", "mels", "sync", "content"),
        ),
        ({"library_versions": (("decode", "av 99"),)}, tuple(s for s in ALL_STAGES if s != "alignment")),
        ({"library_versions": (("crop", "cv2 99"),)}, ("crop", "content")),
        ({"device": "cuda", "landmark_options": (("batch_size", "4"),)}, ()),
    ],
)  # fmt: skip
def test_what_changed_is_redone_and_nothing_else(
    root: Path, change: dict[str, object], redone: tuple[str, ...]
) -> None:
    task = task_in(root, replace(RECIPE, **change))  # type: ignore[arg-type]
    before = times_ns(root / "out")
    assert done(task) == redone
    after = times_ns(root / "out")
    folders = {"audio": ("audio",), "align": ("landmarks",), "crop": ("lips", "face"),
               "mels": ("mel", "prosody")}  # fmt: skip
    moved = {path.split("/")[0] for path, time in after.items() if before[path] != time}
    assert moved == {folder for stage in redone for folder in folders.get(stage, ())}


def test_going_back_redoes_too_and_gives_the_first_bytes(root: Path) -> None:
    before = digests(root / "out")
    done(task_in(root, replace(RECIPE, mels=("lip2wav", "facetron"))))
    assert (root / "out" / "mel-facetron" / SPEAKER / f"{STEM}.npy").exists()
    assert done(task_in(root)) == ("mels", "content")
    assert digests(root / "out") == before
    assert not (root / "out" / "mel-facetron" / SPEAKER / f"{STEM}.npy").exists()


def test_a_changed_source_redoes_all_but_the_words(root: Path) -> None:
    task = task_in(root)
    video = Path(task.clip.video)
    # A byte after MPEG's end code changes the file and not the features.
    video.write_bytes(video.read_bytes() + b"\0")
    assert done(task) == tuple(s for s in ALL_STAGES if s != "alignment")
    write_alignment(Path(task.clip.alignment), STEM, line_end="\r\n")
    assert done(task) == ("alignment", "content")


def test_a_touched_or_moved_source_redoes_nothing(root: Path) -> None:
    task = task_in(root)
    before = times_ns(root / "out")
    os.utime(task.clip.video, ns=(1, 1))
    assert not is_done(task, load_state(task.build, task.clip.clip_id), RECIPE.stage_parameters())
    assert done(task) == ()
    (root / "corpus").rename(root / "elsewhere")
    (root / "corpus").mkdir()
    (root / "elsewhere").rename(root / "corpus" / "moved")
    moved = str(root / "corpus" / "moved")
    clip = replace(
        task.clip,
        video=task.clip.video.replace(str(root / "corpus"), moved),
        alignment=task.clip.alignment.replace(str(root / "corpus"), moved),
    )
    assert done(replace(task, clip=clip)) == ()
    assert times_ns(root / "out") == before


@pytest.mark.parametrize(
    ("folder", "redone"),
    [
        ("lips", ("crop",)),
        ("face", ("crop",)),
        ("audio", ("audio",)),
        ("mel", ("mels",)),
        ("prosody", ("mels",)),
        ("landmarks", ("align",)),
        (".state", ALL_STAGES),
    ],
)
def test_a_deleted_artifact_is_made_again(root: Path, folder: str, redone: tuple[str, ...]) -> None:
    before = digests(root / "out")
    shutil.rmtree(root / "out" / folder)
    assert done(task_in(root)) == redone
    assert digests(root / "out") == before


def test_a_stage_remembered_without_what_a_row_needs_is_done_again(root: Path) -> None:
    """A state that was damaged, or is of a version that did not raise its number."""
    before = digests(root / "out")
    task = task_in(root)
    for stage, damage in (
        ("alignment", lambda s: s.data.pop("words")),
        ("alignment", lambda s: s.data["words"][2].pop("end_s")),
        ("audio", lambda s: s.data.pop("samples")),
        ("mels", lambda s: s.data.update(mel_frames="150")),
        ("mels", lambda s: s.data.update(qc=None)),
        ("decode", lambda s: s.data.update(flags={})),
        ("crop", lambda s: s.data.pop("video_frames")),
        ("crop", lambda s: s.files.pop("lips")),
    ):
        state = load_state(task.build, task.clip.clip_id)
        damage(state.stages[stage])  # type: ignore[no-untyped-call]
        save_state(task.build, task.clip.clip_id, state)
        assert done(task) == (stage,)
    assert digests(root / "out") == before


def test_other_content_under_the_same_size_and_time_is_noticed(root: Path) -> None:
    """`cp other clip; touch -r before clip`."""
    task = task_in(root)
    video = Path(task.clip.video)
    stat, data = video.stat(), bytearray(video.read_bytes())
    data[-1] ^= 1  # after the end of the pictures
    video.write_bytes(data)
    os.utime(video, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (video.stat().st_size, video.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert done(task) == tuple(s for s in ALL_STAGES if s != "alignment")


def test_a_source_replaced_while_it_is_read_is_read_again(
    root: Path, sound_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root / "out")
    task = task_in(root)
    video = Path(task.clip.video)
    crop, replaced = stages._RUN["crop"], []

    def crop_and_replace(work: stages._Work) -> None:
        crop(work)
        if not replaced:
            other = video.with_suffix(".new")
            other.write_bytes(sound_clip.read_bytes() + b"\0")
            os.replace(other, video)
            replaced.append(True)

    monkeypatch.setitem(stages._RUN, "crop", crop_and_replace)
    result = run_task(task)
    assert result.state.failure is None
    assert result.state.source is not None
    assert result.state.source.sha256 == sha256_file(video)
    assert done(task) == ()


def test_a_source_that_never_keeps_still_is_a_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_in(root)
    shutil.rmtree(root / "out" / "lips")
    crop = stages._RUN["crop"]

    def crop_and_touch(work: stages._Work) -> None:
        crop(work)
        Path(task.clip.video).write_bytes(Path(task.clip.video).read_bytes() + b"\0")

    with monkeypatch.context() as patch:
        patch.setitem(stages._RUN, "crop", crop_and_touch)
        failure = failure_of(task)
    assert (failure.stage, failure.reason) == ("decode", "source_changed")
    assert not stands(task)
    assert set(done(task)) >= {"decode", "audio", "align", "crop", "mels", "sync"}


def test_after_a_kill_content_decides(root: Path) -> None:
    """A killed build may have put other bytes under the name and size that are remembered."""
    before = digests(root / "out")
    task = task_in(root)
    (mel,) = (root / "out" / "mel" / SPEAKER).iterdir()
    mel.write_bytes(b"\0" * mel.stat().st_size)
    assert run_task(task).done_stages == ()
    assert run_task(replace(task, unsure=True)).done_stages == ("mels",)
    assert done(task) == ()
    assert digests(root / "out") == before


def test_stages_are_redone_with_what_hangs_on_them(root: Path) -> None:
    before = digests(root / "out")
    assert run_task(replace(task_in(root), redo=("align",))).done_stages == (
        "align",
        "crop",
        "sync",
        "content",
    )
    again = run_task(replace(task_in(root), redo=("mels", "crop")))
    assert again.done_stages == ("crop", "mels", "content")
    assert run_task(task_in(root)).done_stages == ()
    assert digests(root / "out") == before


def test_sound_alone_lies_on_the_pictures_time_axis(tmp_path: Path) -> None:
    """A container whose pictures start at 1 s: decoding sound alone must not shift it."""
    from clips import tiny_clip

    tiny_clip(tmp_path / "corpus" / SPEAKER / f"{STEM}.mkv", start_s=1.0, audio_start_s=0.1)
    write_alignment(tmp_path / "corpus" / "alignments" / SPEAKER / f"{STEM}.align", STEM)
    task = task_in(tmp_path)
    task = replace(task, clip=replace(task.clip, video=task.clip.video.replace(".mpg", ".mkv")))
    done(task)
    before = digests(tmp_path / "out")
    assert (
        "audio_shifted" in load_state(task.build, task.clip.clip_id).stages["audio"].data["flags"]
    )
    shutil.rmtree(tmp_path / "out" / "audio")
    assert done(task) == ("audio",)
    assert digests(tmp_path / "out") == before


def test_an_artifact_damaged_in_place_heals_when_a_stage_stumbles_over_it(root: Path) -> None:
    before = digests(root / "out")
    for folder, changed in (("audio", "mels"), ("landmarks", "crop")):
        (path,) = (root / "out" / folder / SPEAKER).iterdir()
        path.write_bytes(b"\0" * path.stat().st_size)
        recipe = replace(RECIPE, library_versions=((changed, f"new {folder}"),))
        result = run_task(task_in(root, recipe))
        assert result.state.failure is None
        assert result.done_stages == ALL_STAGES
    assert digests(root / "out") == before


def fail_with(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_an_unforeseen_error_costs_one_clip_and_is_tried_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_in(root)
    shutil.rmtree(root / "out" / "lips")
    with monkeypatch.context() as patch:
        patch.setitem(stages._RUN, "crop", fail_with(RuntimeError("odd\nthing")))
        state = run_task(task).state
    assert state.failure is not None
    assert (state.failure.stage, state.failure.reason) == ("crop", "crashed")
    assert state.failure.detail == "RuntimeError: odd\nthing"
    assert "fail_with" in "".join(state.failure.evidence["trace"]) or "in fail" in "".join(
        state.failure.evidence["trace"]
    )
    assert not is_done(task, state, RECIPE.stage_parameters())
    assert done(task) == ALL_STAGES


def test_numbers_that_json_cannot_hold_cost_one_clip(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_a_number(work: stages._Work) -> None:
        work.finish("crop", {}, qc={"scale": float("nan")})

    monkeypatch.setitem(stages._RUN, "crop", not_a_number)
    state = run_task(task_in(root, replace(RECIPE, crop=CropSpec(face_every=3)))).state
    assert state.failure is not None
    assert state.failure.reason == "crashed"
    assert load_state(str(root / "out"), f"{SPEAKER}/{STEM}") == state


def test_a_missing_library_is_no_fault_of_the_clip(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        stages._RUN, "align", fail_with(MissingDependency("no weights", "get them"))
    )
    shutil.rmtree(root / "out" / "landmarks")
    with pytest.raises(MissingDependency):
        run_task(task_in(root))


def test_a_kill_between_files_and_state_is_noticed_even_when_going_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file has the old one's name and size: only the state could tell, so it must."""
    before = digests(root / "out")
    loud = replace(RECIPE, audio=AudioSpec(resampler="soxr_hq"), library_versions=(("audio", "2"),))

    class Killed(BaseException):
        pass

    def write_then_die(work: stages._Work) -> None:
        path = Path(work.full(work.state.stages["audio"].files["audio"].path))
        path.write_bytes(b"RIFF" + b"x" * (path.stat().st_size - 4))
        raise Killed

    with monkeypatch.context() as patch:
        patch.setitem(stages._RUN, "audio", write_then_die)
        with pytest.raises(Killed):
            run_task(task_in(root, loud))
    assert digests(root / "out") != before
    assert "audio" in done(task_in(root))
    assert digests(root / "out") == before


def no_space(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/x")


def test_a_full_disk_stops_the_build_and_keeps_what_was_there(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(root / "out")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", no_space)
        with pytest.raises(BadInput, match="/out/x: No space left on device; free space") as caught:
            run_task(task_in(root, replace(RECIPE, crop=CropSpec(face_every=3))))
    assert "\n" not in str(caught.value)
    assert digests(root / "out") == before
    assert not list(root.rglob(".tmp-*"))
    assert done(task_in(root)) == (), "content shows that nothing was lost"


def test_a_folder_that_is_a_file_stops_the_build(root: Path) -> None:
    shutil.rmtree(root / "out" / "mel")
    (root / "out" / "mel").write_text("in the way")
    with pytest.raises(BadInput, match=r"mel.*choose another --out"):
        run_task(task_in(root))


# -- failures, and what makes them pass -------------------------------------------------------------


def failure_of(task: ClipTask) -> ClipFailure:
    """The failure of a clip, which stands when it is run again."""
    state = run_task(task).state
    assert state.failure is not None
    assert state == load_state(task.build, task.clip.clip_id)
    return state.failure


def stands(task: ClipTask) -> bool:
    """Whether a failure is remembered, so that the clip is not tried again."""
    state = load_state(task.build, task.clip.clip_id)
    return is_done(task, state, task.recipe.stage_parameters())


def test_a_missing_alignment_stands_until_it_comes(root: Path) -> None:
    shutil.rmtree(root / "out")
    without = task_in(root, words=False)
    failure = failure_of(without)
    assert (failure.stage, failure.reason) == ("alignment", "alignment_missing")
    assert failure.video == without.clip.video
    assert stands(without)
    assert done(task_in(root)) == tuple(s for s in ALL_STAGES if s != "decode")


def test_no_face_stands_until_the_landmarks_change(root: Path) -> None:
    from clips import pictures, tiny_clip

    red = pictures()
    red[..., 0] = 255
    task = task_in(root)
    tiny_clip(Path(task.clip.video), frames=red)
    failure = failure_of(task)
    assert (failure.stage, failure.reason) == ("align", "no_face")
    assert failure.evidence == {"found_frames": 0, "looked_frames": 38}
    assert stands(task)
    other_mels = task_in(root, replace(RECIPE, mels=("vca-gan",)))
    assert stands(other_mels)
    other_landmarks = task_in(root, replace(RECIPE, landmarks=LandmarkSpec(backend=STUB, every=1)))
    assert not stands(other_landmarks)
    assert failure_of(other_landmarks).evidence["looked_frames"] == 75


def test_a_failure_of_one_stage_does_not_stop_another(root: Path) -> None:
    """`gridprep mels` makes mels of a clip without alignment, and the failure is not forgotten."""
    shutil.rmtree(root / "out")
    failure_of(task_in(root, words=False))
    mels = task_in(root, targets=("mels",), words=False)
    result = run_task(mels)
    assert result.done_stages == ("audio", "mels")
    assert failure_among(result.state, mels.targets) is None
    assert failure_among(result.state, ALL_STAGES) is not None
    assert stands(task_in(root, words=False))


def make_unreadable(path: Path) -> None:
    """Also for root, whom permissions do not stop: a link to nowhere."""
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def test_an_unreadable_file_is_tried_every_time(root: Path) -> None:
    task = task_in(root)
    for path, stage in ((task.clip.video, "decode"), (task.clip.alignment, "alignment")):
        kept = Path(path).read_bytes()
        time_ns = os.stat(path).st_mtime_ns
        make_unreadable(Path(path))
        failure = failure_of(task)
        assert (failure.stage, failure.reason) == (stage, "unreadable")
        assert failure.detail == f"{path}: No such file or directory"
        assert not stands(task)
        Path(path).unlink()
        Path(path).write_bytes(kept)
        os.utime(path, ns=(time_ns, time_ns))
        assert done(task) == ()


def test_a_permission_that_goes_and_comes_leaves_no_trace_in_times(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_in(root)
    shutil.rmtree(root / "out" / "lips")
    with monkeypatch.context() as patch:
        from manifests.errors import ClipError

        denied = ClipError("decode", "unreadable", f"{task.clip.video}: Permission denied")
        patch.setattr(stages, "decode", fail_with(denied))
        assert failure_of(task).reason == "unreadable"
        assert not stands(task)
    assert done(task) == ("crop",)


def test_a_failure_that_does_not_stand_is_tried_again_though_all_stages_are_done(
    root: Path,
) -> None:
    task = task_in(root)
    state = load_state(task.build, task.clip.clip_id)
    state.failure = ClipFailure(SPEAKER, STEM, "decode", "unreadable", "x")
    save_state(task.build, task.clip.clip_id, state)
    assert not stands(task)
    assert done(task) == ()


def test_an_unreadable_alignment_does_not_stop_mels(root: Path) -> None:
    shutil.rmtree(root / "out")
    make_unreadable(Path(task_in(root).clip.alignment))
    result = run_task(task_in(root, targets=("mels",)))
    assert result.done_stages == ("decode", "audio", "mels")


def test_a_recorded_failure_is_judged_by_the_stages_asked_for() -> None:
    clip = Clip(SPEAKER, STEM, "v", "a")
    keys = expected_keys(ClipState(), clip, RECIPE.stage_parameters())
    state = ClipState(
        failure=ClipFailure(SPEAKER, STEM, "alignment", "alignment_missing", "x"),
        failure_key=keys["alignment"],
    )
    assert stale_stages(state, keys, ALL_STAGES, "out") == ()
    assert stale_stages(state, keys, ("decode", "audio"), "out") == ("decode", "audio")
    died = ClipState(failure=ClipFailure(SPEAKER, STEM, "worker", "worker_died", "x"))
    assert failure_among(died, ("decode",)) is died.failure
