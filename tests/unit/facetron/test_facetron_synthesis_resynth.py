"""`facetron resynth` on a small build of synthetic tones."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from facetron.commands.resynth import resynth
from facetron.synthesis.resynth import ResynthOptions, resynthesize
from manifests.errors import BadInput, ManifestError, SpecMismatch, TooManyFailures
from manifests.io import write_jsonl
from manifests.mel import PRESETS, mel_spectrogram
from manifests.records import ManifestRow, WordSpan
from manifests.runs import read_run
from manifests.specs import MelSpec

SPEC = PRESETS["facetron"]
FEW = (("iterations", 2),)
SENTENCE = "bin blue at f two now"
CLIPS = [
    ("s1", "bbaf2n", "test"),
    ("s1", "bbaf3s", "test"),
    ("s2", "bbaf4p", "test"),
    ("s2", "bbaf5a", "val"),
]


def row(speaker: str, stem: str, subset: str, fingerprint: str) -> ManifestRow:
    words = tuple(
        WordSpan(w, 0.4 * i + 0.2, 0.4 * i + 0.6, 10 * i + 5, 10 * i + 15)
        for i, w in enumerate(SENTENCE.split())
    )
    return ManifestRow(
        speaker=speaker,
        gender="male",
        stem=stem,
        sentence=SENTENCE,
        subset=subset,
        words=words,
        paths={"mel": f"mel/{speaker}/{stem}.npy", "audio": f"audio/{speaker}/{stem}.wav"},
        video_frames=75,
        audio_samples=48_000,
        sample_rate_hz=16_000,
        mel_frames=150,
        samples_added=0,
        flags=(),
        qc={},
        source_path=f"{speaker}/{stem}.mpg",
        source_sha256="",
        fingerprints={"mel": fingerprint},
    )


def write_manifest(build: Path, rows: list[ManifestRow], spec: MelSpec = SPEC) -> None:
    write_jsonl(
        build / "manifest.jsonl",
        "manifest",
        rows,
        split="small",
        corpus_kind="grid",
        specs={"mel": spec.to_dict()},
    )  # fmt: skip


@pytest.fixture
def build(tmp_path: Path) -> Path:
    root = tmp_path / "build"
    rows = []
    for number, (speaker, stem, subset) in enumerate(CLIPS):
        t = np.arange(48_000) / 16_000
        pitch_hz = 110 + 30 * number
        sound = sum(0.1 / k * np.sin(2 * np.pi * k * pitch_hz * t) for k in range(1, 6))
        sound *= np.hanning(48_000)
        for folder in ("mel", "audio"):
            (root / folder / speaker).mkdir(parents=True, exist_ok=True)
        np.save(root / "mel" / speaker / f"{stem}.npy", mel_spectrogram(sound, SPEC))
        soundfile.write(root / "audio" / speaker / f"{stem}.wav", sound, 16_000)
        rows.append(row(speaker, stem, subset, SPEC.fingerprint()))
    write_manifest(root, rows)
    return root


def options(build: Path, **changes: object) -> ResynthOptions:
    first = ResynthOptions(build, build.parent / "run", vocoder_options=FEW)
    return dataclasses.replace(first, **changes)  # type: ignore[arg-type]


def test_run_directory_is_complete(build: Path) -> None:
    report = resynthesize(options(build))
    assert (report.asked, report.wrote, report.kept, report.failures) == (3, 3, 0, ())
    root = build.parent / "run"
    info, clips, failures = read_run(root)
    assert (info.kind, info.split, info.subset, info.n_expected) == (
        "resynthesis",
        "small",
        "test",
        3,
    )
    assert info.name == "analysis-synthesis (Griffin-Lim)"
    assert info.parameters["iterations"] == 2
    assert info.parameters["mel"] == SPEC.fingerprint()
    assert len(info.manifest_sha256) == 64
    assert info.corpus == "grid"
    assert failures == []
    assert [c.clip_id for c in clips] == ["s1/bbaf2n", "s1/bbaf3s", "s2/bbaf4p"]
    for clip in clips:
        made = soundfile.info(root / clip.wav)
        assert (made.samplerate, made.frames, made.subtype) == (16_000, 48_000, "PCM_16")
        assert not Path(clip.reference).is_absolute()
        assert (root / clip.reference).is_file()
        assert (root / clip.mel).is_file()
        assert (clip.sentence, clip.voice) == (SENTENCE, clip.speaker)


def test_sound_has_the_pitch_of_its_clip(build: Path) -> None:
    resynthesize(options(build, vocoder_options=(("iterations", 30),)))
    for clip, pitch_hz in zip(read_run(build.parent / "run")[1], (110, 140, 170), strict=True):
        sound, _ = soundfile.read(build.parent / "run" / clip.wav)
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(48_000)))
        assert spectrum.argmax() / 3 == pytest.approx(pitch_hz, abs=3)


def test_second_run_keeps_what_is_there(build: Path) -> None:
    resynthesize(options(build))
    root = build.parent / "run"
    wavs = sorted((root / "wavs").rglob("*.wav"))
    before = {w: (w.stat().st_mtime_ns, w.read_bytes()) for w in wavs}
    wavs[1].unlink()
    report = resynthesize(options(build))
    assert (report.wrote, report.kept) == (1, 2)
    assert wavs[1].read_bytes() == before[wavs[1]][1]
    assert wavs[0].stat().st_mtime_ns == before[wavs[0]][0]


def test_what_changed_is_made_again(build: Path) -> None:
    resynthesize(options(build))
    assert resynthesize(options(build, vocoder_options=(("iterations", 3),))).wrote == 3
    assert resynthesize(options(build, vocoder_options=(("iterations", 3),), seed=1)).wrote == 3
    path = build / "mel" / "s1" / "bbaf2n.npy"
    np.save(path, np.load(path) - 1)
    report = resynthesize(options(build, vocoder_options=(("iterations", 3),), seed=1))
    assert (report.wrote, report.kept) == (1, 2)


def test_processes_change_nothing(build: Path) -> None:
    resynthesize(options(build))
    resynthesize(options(build, out=build.parent / "two", jobs=2))
    for one in sorted((build.parent / "run").rglob("*.wav")):
        two = build.parent / "two" / one.relative_to(build.parent / "run")
        assert one.read_bytes() == two.read_bytes()
    first, second = ((build.parent / name / "clips.jsonl").read_text() for name in ("run", "two"))
    assert first == second


def test_limit_deals_over_the_speakers(build: Path) -> None:
    assert resynthesize(options(build, limit=2)).asked == 2
    assert {c.speaker for c in read_run(build.parent / "run")[1]} == {"s1", "s2"}


def test_every_bad_mel_is_a_failure_with_its_file(build: Path) -> None:
    (build / "mel" / "s1" / "bbaf2n.npy").unlink()
    np.save(build / "mel" / "s1" / "bbaf3s.npy", np.zeros((40, 150), dtype=np.float32))
    (build / "mel" / "s2" / "bbaf4p.npy").write_bytes(b"\x93NUMPY garbage")
    np.save(build / "mel" / "s2" / "bbaf5a.npy", np.full((80, 150), np.nan, dtype=np.float32))
    report = resynthesize(options(build, subset="all"))
    assert (report.asked, report.wrote, len(report.failures)) == (4, 0, 4)
    info, clips, failures = read_run(build.parent / "run")
    assert info.n_expected == 4
    assert clips == []
    details = [f.detail for f in failures]
    for detail, word in zip(
        details, ("does not exist", "shape", "cannot be read", "NaN"), strict=True
    ):
        assert word in detail
    assert all(str(build) in f.evidence["mel"] for f in failures)


def test_pickled_mel_is_not_opened(build: Path) -> None:
    np.save(build / "mel" / "s1" / "bbaf2n.npy", np.array([{"a": 1}]), allow_pickle=True)
    report = resynthesize(options(build))
    assert len(report.failures) == 1


def test_another_spec_is_refused_before_any_work(build: Path) -> None:
    rows = [row(*clip, SPEC.fingerprint()) for clip in CLIPS[:2]]
    rows.append(row(*CLIPS[2], PRESETS["lip2wav"].fingerprint()))
    write_manifest(build, rows)
    with pytest.raises(SpecMismatch, match="s2/bbaf4p") as error:
        resynthesize(options(build))
    assert "\n" not in str(error.value)
    assert not (build.parent / "run").exists()


def test_manifest_without_a_mel_spec_is_refused(build: Path) -> None:
    write_jsonl(build / "manifest.jsonl", "manifest", [row(*CLIPS[0], "x")], split="small")
    with pytest.raises(ManifestError, match="no mel spec"):
        resynthesize(options(build))


def test_row_without_a_mel_is_refused(build: Path) -> None:
    bare = dataclasses.replace(row(*CLIPS[0], SPEC.fingerprint()), paths={})
    write_manifest(build, [bare])
    with pytest.raises(ManifestError, match="has no mel"):
        resynthesize(options(build))


def test_subset_without_clips_says_what_there_is(build: Path) -> None:
    with pytest.raises(BadInput, match="0 train, 1 val, 3 test"):
        resynthesize(options(build, subset="train"))


def test_no_manifest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="does not exist"):
        resynthesize(ResynthOptions(tmp_path, tmp_path / "run"))


def test_command_prints_the_sum_and_fails_with_failures(build: Path) -> None:
    arguments = ["--manifest", str(build), "--out", str(build.parent / "run")]
    arguments += ["--iterations", "2", "--jobs", "1"]
    good = CliRunner().invoke(resynth, [*arguments, "--subset", "test"])
    assert good.exit_code == 0, good.output
    assert "wrote 3 + failed 0 = asked 3" in good.output
    (build / "mel" / "s1" / "bbaf2n.npy").unlink()
    bad = CliRunner().invoke(resynth, arguments)
    assert isinstance(bad.exception, TooManyFailures)
    assert "wrote 2 (2 of them kept from before) + failed 1 = asked 3" in bad.output
    allowed = CliRunner().invoke(resynth, [*arguments, "--max-failures", "1"])
    assert allowed.exit_code == 0


def test_program_says_one_line_and_its_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facetron.cli", "resynth"]
    command += ["--manifest", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("facetron: ")
