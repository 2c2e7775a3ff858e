"""Levels, anchors, names, and what is (not) in the folder that is handed out."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scipy import signal

from evaluation.inputs.levels import active_level_dbov, clip_level_dbov, common_level_dbov, gain_for
from evaluation.inputs.pairs import RunDir, read_run
from evaluation.mos.audio import Source, faded, hashed, interrupted, low_anchor, message, tones
from evaluation.mos.design import make_design
from evaluation.mos.handout import write_design
from evaluation.mos.options import DesignOptions
from evaluation.mos.records import Handout, Key, read_handout, read_key
from manifests.errors import BadInput, ManifestError

RATE_HZ = 16_000
OPTIONS: dict[str, Any] = {
    "parts": ("mos", "smos_speaker"), "subjects": 3, "clips_per_speaker": 2, "practice": 1,
    "repeats": 1, "traps": 1,
}  # fmt: skip


def noise(seconds: float, rms: float, seed: int = 0) -> np.ndarray:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))


# --- P.56


def test_active_level_of_steady_sound_is_its_rms() -> None:
    for rms in (0.3, 0.05, 0.003):
        found = active_level_dbov(noise(3, rms), RATE_HZ)
        assert found == pytest.approx(20 * np.log10(rms), abs=0.05)
    sine = np.sin(2 * np.pi * 1000 * np.arange(3 * RATE_HZ) / RATE_HZ)
    assert active_level_dbov(sine, RATE_HZ) == pytest.approx(-3.01, abs=0.05)


def test_pauses_do_not_count() -> None:
    """A minute of noise in bursts of a second, half of it silence: the level is that of
    the bursts, but for the hangover of 0.2 s after each."""
    bursts = noise(60, 0.1) * (np.arange(60 * RATE_HZ) // RATE_HZ % 2 == 0)
    plain = 20 * np.log10(np.sqrt(np.mean(bursts**2)))
    found = active_level_dbov(bursts, RATE_HZ)
    assert plain == pytest.approx(-23.01, abs=0.1)
    assert found == pytest.approx(-20 - 10 * np.log10(1.2), abs=0.25)
    narrow = signal.sosfilt(signal.butter(8, 3000, fs=RATE_HZ, output="sos"), bursts)
    assert active_level_dbov(narrow, 16_000) == pytest.approx(
        active_level_dbov(signal.resample_poly(narrow, 1, 2), 8000), abs=0.1
    )


def test_level_follows_gain() -> None:
    sound = noise(2, 0.1) * np.repeat([1, 0.01, 1, 0.001], RATE_HZ // 2)
    levels = [active_level_dbov(gain * sound, RATE_HZ) for gain in (1, 0.5, 0.1)]
    assert levels[0] - levels[1] == pytest.approx(6.02, abs=0.1)
    assert levels[0] - levels[2] == pytest.approx(20, abs=0.1)
    with pytest.raises(ValueError, match="silence"):
        active_level_dbov(np.zeros(100), RATE_HZ)


def test_clipping_guard() -> None:
    assert common_level_dbov([-20, -30], [0.5, 0.1], -26) == -26
    # −20 dBov with a peak of 1 cannot be raised: at −18 it would clip, so all come down.
    assert common_level_dbov([-20, -30], [1.0, 0.1], -18) == pytest.approx(-20.26, abs=0.01)
    # One hopeless file does not ruin all: at most 6 dB.
    assert common_level_dbov([-60, -30], [1.0, 0.1], -26) == -32
    assert gain_for(-60, 1.0, -32) == pytest.approx(0.97)
    assert gain_for(-20, 0.5, -26) == pytest.approx(0.501, abs=0.001)


# --- sounds


def test_low_anchor_is_bad() -> None:
    sound = noise(2, 0.1)
    bad = low_anchor(sound, 3)
    frequencies, power = signal.welch(bad, RATE_HZ, nperseg=1024)
    loud = power[(frequencies > 300) & (frequencies < 3000)].mean()
    assert power[frequencies > 4500].max() < 1e-3 * loud
    narrow = signal.sosfiltfilt(signal.butter(8, 3500, fs=RATE_HZ, output="sos"), sound)
    ratio_db = 10 * np.log10(np.mean(narrow**2) / np.mean((bad - narrow) ** 2))
    assert 4 < ratio_db < 10, "the noise follows the speech, most of it 5 dB below"
    assert np.array_equal(bad, low_anchor(sound, 3))
    assert not np.array_equal(bad, low_anchor(sound, 4))


def test_messages_ask_for_each_number() -> None:
    spoken = [message(number) for number in range(1, 6)]
    assert all(3 < len(samples) / RATE_HZ < 4.5 for samples in spoken)
    assert all(abs(clip_level_dbov(samples, RATE_HZ)) < 0.1 for samples in spoken)
    trap = interrupted(noise(2, 0.02), 3)
    assert len(trap) == RATE_HZ + round(0.15 * RATE_HZ) + len(spoken[2])
    assert active_level_dbov(trap[RATE_HZ:], RATE_HZ) == pytest.approx(-34, abs=1)


def test_tones() -> None:
    sound = tones(2, 3)
    assert sound.shape == (4 * RATE_HZ, 2)
    loudness = [np.abs(sound[round((1.5 * i + 0.5) * RATE_HZ) :][:800, 0]).max() for i in range(3)]
    assert loudness[1] == pytest.approx(loudness[0] / 2, rel=0.01)
    assert loudness[2] == pytest.approx(loudness[0])
    left, right = sound[round(3.5 * RATE_HZ) :][:800].T
    assert np.allclose(left, -right)
    assert np.allclose(*sound[: 2 * RATE_HZ].T)


def test_fades() -> None:
    sound = faded(np.ones(1000))
    assert len(sound) == 1000
    assert sound[0] == sound[999] == 0
    assert np.all(sound[80:920] == 1)


def test_names_depend_on_the_secret_and_on_what_is_heard() -> None:
    a = Source("plain", "mos", "Alpha", "s1/x", Path("a.wav"))
    names = {
        a.name("00"), a.name("01"),
        Source("plain", "mos", "Alpha", "s1/x", None, copy=1).name("00"),
        Source("plain", "smos_speaker", "Alpha", "s1/x", None).name("00"),
        Source("plain", "mos", "Beta", "s1/x", None).name("00"),
    }  # fmt: skip
    assert len(names) == 5
    assert all(re.fullmatch(r"[0-9a-f]{16}\.wav", name) for name in names)
    assert hashed("00", "x") != hashed("01", "x")


# --- the folder


@pytest.fixture(scope="module")
def written(
    runs: list[RunDir], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Key, Handout]:
    out = tmp_path_factory.mktemp("test") / "listening"
    key = write_design(make_design(runs, DesignOptions(**OPTIONS)), runs, out)
    return out, key, read_handout(out)[1]


def test_key_is_apart(written: tuple[Path, Key, Handout]) -> None:
    out, key, handout = written
    assert sorted(path.name for path in out.iterdir()) == ["handout", "key.json"]
    assert not list((out / "handout").rglob("*key*"))
    assert read_key(out) == read_key(out / "key.json") == key
    assert handout.design == key.design
    conditions = key.conditions_of("mos")
    assert (out / conditions[0].run_dir / "run.json").is_file()


def test_handout_says_nothing(written: tuple[Path, Key, Handout], runs: list[RunDir]) -> None:
    out, key, _ = written
    telling = [key.secret, "Alpha", "Beta", "Recording", "anchor", "trap", "gold", "repeat"]
    telling += [run.root.name for run in runs]
    telling += [word for clip in runs[0].clips for word in (clip.speaker, clip.stem)]
    for path in (out / "handout").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        for word in telling:
            assert word.encode() not in content, (path.name, word)
            assert word not in path.name
    (values,) = ((out / "handout" / "design.json").read_text(),)
    for trial in key.trials:
        assert re.fullmatch("t[0-9a-f]{11}", trial.trial)
    assert len({trial.trial for trial in key.trials}) == len(key.trials)
    assert set(json.loads(values)["sessions"][0]["trials"][0]) == {
        "trial", "part", "practice", "sounds",
    }  # fmt: skip


def test_sounds_are_alike_in_all_but_what_is_heard(written: tuple[Path, Key, Handout]) -> None:
    out, key, handout = written
    folder = out / "handout" / "sounds"
    assert {path.name for path in folder.iterdir()} == {sound.sound for sound in key.sounds}
    used = {name for s in handout.sessions for t in s.trials for name in t.sounds}
    assert used | {handout.volume_sound} == {sound.sound for sound in key.sounds}
    lengths: dict[tuple[str, str], set[int]] = defaultdict(set)
    for sound in key.sounds:
        samples, rate_hz = soundfile.read(folder / sound.sound)
        assert rate_hz == RATE_HZ
        assert soundfile.info(folder / sound.sound).subtype == "PCM_16"
        assert np.abs(samples).max() < 0.98
        if sound.kind == "tones":
            continue
        assert sound.level_dbov == pytest.approx(-26, abs=0.05)
        assert clip_level_dbov(samples, RATE_HZ) == pytest.approx(-26, abs=0.06)
        if sound.kind != "trap":
            lengths[sound.part, sound.clip].add(len(samples))
    assert {len(found) for found in lengths.values()} == {1}, "length does not tell the system"
    times = [(folder / sound.sound).stat().st_mtime_ns for sound in key.sounds]
    assert times == sorted(times), "written in the order of their names"


def test_making_it_again_changes_nothing(
    written: tuple[Path, Key, Handout], runs: list[RunDir]
) -> None:
    out, key, _ = written
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    before = [path.read_bytes() for path in files]
    stray = out / "handout" / "sounds" / "stray.wav"
    stray.write_bytes(b"x")
    assert write_design(make_design(runs, DesignOptions(**OPTIONS)), runs, out) == key
    assert not stray.exists()
    assert [path.read_bytes() for path in files] == before


def test_another_test_is_refused(
    tmp_path: Path, written: tuple[Path, Key, Handout], runs: list[RunDir]
) -> None:
    out, _, _ = written
    other = make_design(runs, DesignOptions(**OPTIONS, seed=5))
    with pytest.raises(BadInput, match="holds another listening test; choose another --out"):
        write_design(other, runs, out)
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match="exists and holds no listening test"):
        write_design(other, runs, tmp_path)


def test_changed_sound_is_another_test(
    tmp_path: Path, make_runs: Callable[..., list[Path]]
) -> None:
    paths = make_runs(tmp_path / "runs")
    runs = [read_run(path) for path in paths]
    write_design(make_design(runs, DesignOptions(**OPTIONS)), runs, tmp_path / "out")
    for wav in (paths[0] / "wavs").iterdir():
        soundfile.write(wav, noise(0.3, 0.1), RATE_HZ)
    with pytest.raises(BadInput, match="another listening test"):
        write_design(make_design(runs, DesignOptions(**OPTIONS)), runs, tmp_path / "out")


def test_a_peaky_file_is_told(tmp_path: Path, make_runs: Callable[..., list[Path]]) -> None:
    paths = make_runs(tmp_path / "runs")
    for wav in (paths[0] / "wavs").glob("anna*"):
        click = noise(0.3, 0.001)
        click[2000] = 1.0
        soundfile.write(wav, click, RATE_HZ)
    runs = [read_run(path) for path in paths]
    key = write_design(make_design(runs, DesignOptions(**OPTIONS)), runs, tmp_path / "out")
    assert any("All sounds are played at -32.0" in note for note in key.notes)
    assert any("quieter than the others" in note for note in key.notes)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"pass the key\.json"):
        read_key(tmp_path)
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(ManifestError, match="holds no listening-key"):
        read_key(tmp_path)
    (tmp_path / "key.json").write_text('{"schema": "listening-key", "schema_version": 1}')
    with pytest.raises(ManifestError, match="is damaged"):
        read_key(tmp_path)
    with pytest.raises(BadInput, match="holds no listening test"):
        read_handout(tmp_path)
