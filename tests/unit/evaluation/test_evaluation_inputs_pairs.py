"""Files and run directories as they come: each fault is a named failure or one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from evaluation.inputs.pairs import (
    Pair,
    Recording,
    Unscorable,
    check_comparable,
    load_sound,
    read_run,
)
from manifests.errors import BadInput, ManifestError
from manifests.records import RunClip

Make = Callable[..., NDArray[np.float64]]
CLIP = RunClip("s1", "bbaf2n", "bin blue at f two now", "male", "a.wav")


def reason_of(path: Path) -> str:
    with pytest.raises(Unscorable) as failure:
        load_sound(path)
    return failure.value.reason


def test_bad_files(tmp_path: Path, make_sound: Make) -> None:
    sound = make_sound(1, 1.0)
    assert reason_of(tmp_path / "absent.wav") == "file_missing"
    (tmp_path / "text.wav").write_text("this is no sound")
    assert reason_of(tmp_path / "text.wav") == "unreadable"
    (tmp_path / "empty.wav").write_bytes(b"")
    assert reason_of(tmp_path / "empty.wav") == "unreadable"
    soundfile.write(tmp_path / "one.wav", sound[:1], 16_000)
    assert reason_of(tmp_path / "one.wav") == "too_short"
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    assert reason_of(tmp_path / "silent.wav") == "silent"
    sound[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", sound, 16_000, subtype="FLOAT")
    assert reason_of(tmp_path / "nan.wav") == "not_finite"


def test_truncated_file_is_what_is_left_of_it(tmp_path: Path, make_sound: Make) -> None:
    soundfile.write(tmp_path / "whole.wav", make_sound(1, 1.0), 16_000)
    content = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    assert load_sound(tmp_path / "cut.wav").duration_s == pytest.approx(0.5, abs=0.01)


def test_rates_and_channels(tmp_path: Path, make_sound: Make) -> None:
    for rate_hz in (8_000, 44_100, 48_000):
        sound = make_sound(1, 1.0, rate_hz=rate_hz)
        soundfile.write(tmp_path / "a.wav", np.stack([sound, sound], axis=1), rate_hz)
        loaded = load_sound(tmp_path / "a.wav")
        assert loaded.file_rate_hz == rate_hz
        assert len(loaded.samples) == pytest.approx(16_000, abs=2)
        assert loaded.level_dbfs == pytest.approx(20 * np.log10(sound.std()), abs=0.1)


def test_clipping_is_measured(tmp_path: Path, make_sound: Make) -> None:
    sound = np.clip(8 * make_sound(1, 1.0), -1, 1)
    soundfile.write(tmp_path / "a.wav", sound, 16_000)
    expected = np.mean(np.abs(sound) >= 0.999)
    assert load_sound(tmp_path / "a.wav").clipped_share == pytest.approx(expected)
    assert expected > 0.01


def test_lengths(tmp_path: Path, make_sound: Make) -> None:
    soundfile.write(tmp_path / "reference.wav", make_sound(1, 3.0), 16_000)
    for seconds, fits in ((2.79, True), (2.7, False), (4.5, False)):
        soundfile.write(tmp_path / "a.wav", make_sound(1, seconds), 16_000)
        pair = Pair(CLIP, Recording(tmp_path / "a.wav"), Recording(tmp_path / "reference.wav"))
        if fits:
            a, b = pair.trimmed()
            assert len(a) == len(b) == round(seconds * 16_000)
        else:
            with pytest.raises(Unscorable, match="length_mismatch"):
                pair.trimmed()


def test_missing_reference() -> None:
    with pytest.raises(Unscorable, match="no_reference"):
        _ = Pair(CLIP, Recording(Path("a.wav")), None).reference


def test_read_run(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", n_expected=6)
    run = read_run(root)
    assert (len(run.clips), run.n_missing) == (4, 2)
    assert run.wav(run.clips[0]).is_file()
    reference = run.reference(run.clips[0])
    assert reference is not None
    assert reference.is_file()


def test_label_of_a_swap() -> None:
    clip = RunClip("s1", "bbaf2n", "", "male", "a.wav", voice="s4")
    assert clip.label == "s1/bbaf2n→s4"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("run.json", lambda text: "{", "cannot be read as JSON"),
        ("run.json", lambda text: "[]", "is not a JSON object"),
        ("run.json", lambda text: text.replace('"kind"', '"kin"'), "RunInfo lacks kind"),
        ("run.json", lambda text: text.replace('"model"', '"singer"'), "is none of model"),
        ("run.json", lambda text: text.replace('"Model"', '" "'), "name is empty"),
        ("run.json", lambda text: text.replace(": 4", ": -4"), "n_expected is -4"),
        ("clips.jsonl", lambda text: text + text.splitlines()[1], "lists s1/bbaf2n twice"),
        ("clips.jsonl", lambda text: text.replace("run-clips", "manifest"), "not run-clips"),
        ("clips.jsonl", lambda text: text[:-30], "line 5"),
    ],
)
def test_damaged_run(
    tmp_path: Path,
    make_run: Callable[..., Path],
    file: str,
    change: Callable[[str], str],
    message: str,
) -> None:
    root = make_run(tmp_path / "run")
    (root / file).write_text(change((root / file).read_text()))
    with pytest.raises(ManifestError, match=message):
        read_run(root)


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"run\.json is missing"):
        read_run(tmp_path)


def test_runs_that_do_not_compare(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    one = read_run(make_run(tmp_path / "one"))
    with pytest.raises(BadInput, match="both named 'Model'"):
        check_comparable([one, read_run(make_run(tmp_path / "two"))])
    other = read_run(make_run(tmp_path / "three", name="Other", split="small"))
    with pytest.raises(BadInput, match="split 'small'"):
        check_comparable([one, other])
    values = json.loads((tmp_path / "three" / "run.json").read_text())
    assert values["split"] == "small"
