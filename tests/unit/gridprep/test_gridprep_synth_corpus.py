"""SynthGRID's clips as files: form, truth, sync, repeatability, faults."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gridprep.cli import cli
from gridprep.corpora.alignment import read_alignment
from gridprep.landmarks import registry
from gridprep.landmarks.base import LandmarkBackend
from gridprep.media.decode import decode
from gridprep.media.quality import check_audio, check_video
from gridprep.synth.clips import clip_rng, sentences_for, video_path
from gridprep.synth.container import write_mpg
from gridprep.synth.corpus import make_corpus
from gridprep.synth.face import face_of
from gridprep.synth.faults import FAULTS, make_fault
from gridprep.synth.speakers import synthetic_speaker
from gridprep.synth.visemes import mouth_poses
from gridprep.synth.voice import utter
from manifests.corpus_lists import speaker_of
from manifests.errors import BadInput, ClipError, MissingDependency
from manifests.grammar import is_stem
from manifests.records import POINT_NAMES
from manifests.specs import AudioSpec

SPEAKER = "s3"


def facemesh() -> LandmarkBackend:
    """The default backend; the test is skipped where its networks cannot be had."""
    try:
        return registry.create(registry.DEFAULT)
    except MissingDependency as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth") / "GRID"
    make_corpus(root, [SPEAKER, "s4"], sentences=1, jobs=1, faults=True)
    return root


def only_clip(root: Path, speaker: str = SPEAKER) -> tuple[Path, str]:
    stem = sentences_for(speaker, 1, 0)[0]
    return video_path(root, speaker, stem), stem


def test_clip_has_grids_form(corpus: Path) -> None:
    path, stem = only_clip(corpus)
    media = decode(path)
    assert media.frames.shape == (75, 288, 360, 3)
    assert media.fps == 25
    assert media.codecs == "mpeg1video+mp2"
    assert media.audio.shape == (131_328, 2)
    assert media.sample_rate_hz == 44_100
    assert abs(media.audio_start_s) < 1e-4
    assert media.decode_errors == media.damaged_frames == 0
    level = 20 * np.log10(np.sqrt((media.audio**2).mean()))
    assert -32 < level < -15
    assert check_video(media).flags == ()
    assert check_audio(media, AudioSpec()).flags == ()
    assert is_stem(stem)
    assert speaker_of(stem) == SPEAKER


def test_pictures_are_in_groups_of_twelve_without_b(corpus: Path) -> None:
    import av

    with av.open(str(only_clip(corpus)[0])) as container:
        kinds = [int(f.pict_type) for f in container.decode(video=0)]
    assert [k for k, kind in enumerate(kinds) if kind == 1] == list(range(0, 75, 12))
    assert set(kinds) == {1, 2}


def test_alignment_spells_the_stem_and_meets_the_sound(corpus: Path) -> None:
    path, stem = only_clip(corpus)
    alignment = corpus / "alignments" / SPEAKER / f"{stem}.align"
    spans = read_alignment(alignment, stem)
    lines = alignment.read_text().splitlines()
    assert lines[0].startswith("0 ")
    assert lines[-1].endswith(" 74500 sil")
    truth = json.loads((corpus / "truth" / SPEAKER / f"{stem}.json").read_text())
    for span, (word, start_s, end_s) in zip(spans, truth["words"], strict=True):
        assert span.word == word
        assert span.start_s == pytest.approx(start_s, abs=5e-5)
        assert span.end_s == pytest.approx(end_s, abs=5e-5)
    mono = decode(path, video=False).audio.mean(1)
    energy = np.sqrt(np.convolve(mono**2, np.ones(441) / 441, "same"))
    loud = np.flatnonzero(energy > 0.05 * energy.max()) / 44_100
    assert loud[0] == pytest.approx(spans[0].start_s, abs=0.06)
    assert loud[-1] == pytest.approx(spans[-1].end_s, abs=0.08)


def test_decoded_sound_keeps_its_time(corpus: Path) -> None:
    path, stem = only_clip(corpus)
    given = (
        utter(synthetic_speaker(SPEAKER, 0), stem, clip_rng(SPEAKER, stem, 0)).samples[:, 0] / 32768
    )
    heard = decode(path, video=False).audio[:, 0]
    size = 1 << 18
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(given, size))
    lag = int(np.fft.irfft(product).argmax())
    lag = lag if lag < size // 2 else lag - size
    assert abs(lag) <= 2  # samples; one video frame is 1,764


def test_truth_holds_what_it_says(corpus: Path) -> None:
    _, stem = only_clip(corpus)
    with np.load(corpus / "truth" / SPEAKER / f"{stem}.npz") as truth:
        assert truth["points_px"].shape == (75, len(POINT_NAMES), 2)
        assert tuple(truth["point_names"]) == POINT_NAMES
        assert truth["f0_hz"].shape == (150,)
        assert truth["visemes"].shape == (75,)
        voiced = truth["f0_hz"][truth["f0_hz"] > 0]
        assert np.median(voiced) == pytest.approx(
            synthetic_speaker(SPEAKER, 0).voice.f0_hz, rel=0.08
        )
        assert (truth["points_px"] > 0).all()
        assert (truth["points_px"] < (360, 288)).all()
    people = json.loads((corpus / "speakers.json").read_text())
    assert len(people) == 33
    assert people[SPEAKER]["voice"]["f0_hz"] == synthetic_speaker(SPEAKER, 0).voice.f0_hz


def test_same_seed_same_bytes_with_any_number_of_processes(corpus: Path, tmp_path: Path) -> None:
    make_corpus(tmp_path / "two", ["s4", SPEAKER], sentences=1, jobs=2)
    for relative in [
        video_path("", s, only_clip(corpus, s)[1]).as_posix() for s in (SPEAKER, "s4")
    ] + [f"truth/{SPEAKER}/{only_clip(corpus)[1]}.npz"]:
        first, second = (
            hashlib.sha256((root / relative).read_bytes()).hexdigest()
            for root in (corpus, tmp_path / "two")
        )
        assert first == second, relative


def test_resume_keeps_what_is_there(tmp_path: Path) -> None:
    assert make_corpus(tmp_path, ["s5"], 1, jobs=1).made == 1
    path = video_path(tmp_path, "s5", sentences_for("s5", 1, 0)[0])
    before = path.stat().st_mtime_ns
    report = make_corpus(tmp_path, ["s5"], 2, jobs=1)
    assert (report.made, report.kept) == (1, 1)
    assert path.stat().st_mtime_ns == before
    with pytest.raises(BadInput, match="seed 0"):
        make_corpus(tmp_path, ["s5"], 2, seed=1, jobs=1)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_other_clips_is_left_alone(tmp_path: Path, force: bool) -> None:
    """A real corpus never gets a synthetic clip, and never loses one of its own."""
    stem = sentences_for("s5", 1, 0)[0]
    real = video_path(tmp_path, "s5", stem)
    real.parent.mkdir(parents=True)
    real.write_bytes(b"a real clip")
    with pytest.raises(BadInput, match=r"is not empty \(s5\) and was not made as a SynthGRID"):
        make_corpus(tmp_path, ["s5"], 1, jobs=1, force=force)
    assert [p.name for p in tmp_path.rglob("*")] == ["s5", real.name]
    (tmp_path / "synth.json").write_text('{"seed": 0, "version": 1}')  # even in a SynthGRID
    with pytest.raises(BadInput, match="was not made by `gridprep synth`"):
        make_corpus(tmp_path, ["s5"], 1, jobs=1, force=force)
    assert real.read_bytes() == b"a real clip"


@pytest.mark.parametrize("speaker", ["s1", "s17", "s23", "s33"])
def test_the_landmark_backend_finds_the_face_where_it_is(speaker: str) -> None:
    person, stem = synthetic_speaker(speaker, 0), sentences_for(speaker, 1, 0)[0]
    rng = clip_rng(speaker, stem, 0)
    poses, _ = mouth_poses(list(utter(person, stem, rng).phonemes))
    frames, points_px = face_of(person, 0).film(poses, rng)
    backend = facemesh()
    found = backend.detect(frames)
    backend.close()
    assert found.found.all()
    assert found.faces.max() == 1
    error_px = np.linalg.norm(found.points_px - points_px, axis=-1).mean(0)
    assert error_px.mean() < 3.5
    assert error_px.max() < 9
    top, bottom = POINT_NAMES.index("lip_top_inner"), POINT_NAMES.index("lip_bottom_inner")
    true_px, seen_px = (p[:, bottom, 1] - p[:, top, 1] for p in (points_px, found.points_px))
    assert np.corrcoef(true_px, seen_px)[0, 1] > 0.7
    jaws = POINT_NAMES.index("jaw_right"), POINT_NAMES.index("jaw_left")
    assert 80 < np.ptp(points_px[0, jaws, 0]) < 130


def _outcome(corpus: Path, fault: dict[str, str]) -> str:
    """Reason of the first check that fails, or the flags."""
    if not is_stem(fault["stem"]):
        return "not_a_stem"
    if speaker_of(fault["stem"]) != fault["speaker"]:
        return "speaker_folder"
    try:
        media = decode(corpus / fault["path"])
        flags = [*check_video(media).flags, *check_audio(media, AudioSpec()).flags]
        read_alignment(
            corpus / "alignments" / fault["speaker"] / f"{fault['stem']}.align", fault["stem"]
        )
    except ClipError as error:
        return error.reason
    return ",".join(flags)


NEEDS_LANDMARKS = {"no_face", "two_faces"}


@pytest.mark.parametrize("kind", [k for k in FAULTS if k not in NEEDS_LANDMARKS | {"junk"}])
def test_faults_are_what_they_say(corpus: Path, kind: str) -> None:
    faults = {f["kind"]: f for f in json.loads((corpus / "faults.json").read_text())}
    assert set(faults) == set(FAULTS)
    fault = faults[kind]
    assert fault["expected"] == FAULTS[kind].expected
    assert _outcome(corpus, fault) == fault["expected"]


def test_faults_of_faces(corpus: Path) -> None:
    faults = {f["kind"]: f for f in json.loads((corpus / "faults.json").read_text())}
    backend = facemesh()
    nobody = backend.detect(decode(corpus / faults["no_face"]["path"]).frames)
    two = backend.detect(decode(corpus / faults["two_faces"]["path"]).frames)
    backend.close()
    assert not nobody.found.any()
    assert two.faces.max() == 2


def test_junk_is_strewn(corpus: Path) -> None:
    fault = next(f for f in json.loads((corpus / "faults.json").read_text()) if f["kind"] == "junk")
    folder = corpus / fault["speaker"]
    assert (folder / "Thumbs.db").exists()
    assert list((folder / "__MACOSX").glob("._*.mpg"))
    assert not (corpus / fault["path"]).exists()


def test_make_fault_on_a_clip_of_ones_own(corpus: Path, tmp_path: Path) -> None:
    path, _ = only_clip(corpus)
    fault = make_fault("frames_60", path, tmp_path / "x.mpg")
    assert fault.outcome == "failure"
    assert len(decode(tmp_path / "x.mpg").frames) == 60
    with pytest.raises(BadInput, match="no fault"):
        make_fault("nonsense", path, tmp_path / "y.mpg")


def test_writer_takes_any_size_and_no_sound(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 64, 96, 3), dtype=np.uint8)
    write_mpg(tmp_path / "a.mpg", frames, None)
    media = decode(tmp_path / "a.mpg")
    assert media.frames.shape == frames.shape
    assert not media.has_audio


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sentences", "0"],
        ["--sentences", "5000"],
        ["--seed", "-1"],
        ["--jobs", "0"],
        ["--speakers", "s21"],
        ["--speakers", "nobody"],
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, ["synth", str(tmp_path / "out"), *arguments])
    assert isinstance(result.exception, BadInput)
    assert "\n" not in str(result.exception)
    assert not list(tmp_path.rglob("*.mpg"))


def test_command_reports(tmp_path: Path) -> None:
    out = tmp_path / "GRÏD out"
    result = CliRunner().invoke(
        cli, ["synth", str(out), "--speakers", "s34", "--sentences", "1", "--jobs", "1"]
    )
    assert result.exit_code == 0, result.output
    assert "1 clips made, 0 kept, 1 speakers" in result.output
    assert len(list(out.glob("s34/*.mpg"))) == 1
