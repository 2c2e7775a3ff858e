"""Judges of other people: their weights out of wheels, their opinions beside those of the originals."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.commands.judges import judges as command
from evaluation.inputs.pairs import Pair, Recording, Unscorable, paired, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics import base, opinion, second_recognizer
from evaluation.metrics.base import get_metric, select
from evaluation.models import distillmos, dnsmos, judges, pocketsphinx
from evaluation.reporting.tables import TableOptions, system_rows
from evaluation.scoring.run import score_runs
from manifests import wheels
from manifests.errors import BadInput, MissingDependency
from manifests.grammar import WORDS
from manifests.records import RunClip
from manifests.wheels import WheelFile

Array = NDArray[np.float64]

CONTENT = b"weights " * 99


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> judges.Judge:
    """One judge of a small file, an empty cache, no installed package and no pip."""
    file = WheelFile("small.pt", "ears/small.pt", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    wheel = dataclasses.replace(judges.GE2E.wheel, distribution="Big.Ears", version="1.0")
    judge = dataclasses.replace(judges.GE2E, name="ears", wheel=wheel, files=(file,))
    monkeypatch.setattr(judges, "JUDGES", {"ears": judge})
    monkeypatch.setattr("evaluation.commands.judges.JUDGES", {"ears": judge})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(wheels, "_download", lambda *_: pytest.fail("asked for a wheel"))
    return judge


def write_wheel(folder: Path, name: str = "big_ears-1.0-py3-none-any.whl") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ears/small.pt", CONTENT)
        archive.writestr("ears/__init__.py", "raise SystemExit('must never run')")
    return path


def test_weights_come_out_of_a_local_wheel(small: judges.Judge, tmp_path: Path) -> None:
    absent = CliRunner().invoke(command, ["list"])
    assert "the model small.pt of the speaker judge GE2E is missing" in absent.output
    assert "facetron-eval judges fetch (once, with a network)" in absent.output
    done = CliRunner().invoke(command, ["fetch", "--wheel", str(write_wheel(tmp_path))])
    assert done.exit_code == 0, done.output
    cached = tmp_path / "cache" / "facetron-toolkit" / "models" / "small.pt"
    assert done.output.strip() == str(cached)
    assert cached.read_bytes() == CONTENT
    assert str(cached) in CliRunner().invoke(command, ["list"]).output
    # Again, and nothing is asked for.
    assert judges.fetch() == [cached]


def test_a_wheel_of_no_judge_and_an_unknown_name_are_refused(
    small: judges.Judge, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"wheel of no judge; give one of Big\.Ears 1\.0"):
        judges.fetch(wheels=(write_wheel(tmp_path, "big_ears-2.0-py3-none-any.whl"),))
    with pytest.raises(BadInput, match="no judge 'eyes'; choose from ears"):
        judges.fetch(("eyes",))


def test_every_judge_has_its_own_files() -> None:
    files = [file for judge in judges.JUDGES.values() for file in judge.files]
    assert len({file.name for file in files}) == len(files)
    assert all(len(file.sha256) == 64 and file.size_bytes > 0 for file in files)
    assert all(
        judge.wheel.fetch == "facetron-eval judges fetch" for judge in judges.JUDGES.values()
    )


# --- what they say


def needs(name: str) -> None:
    """Skips where the judge's wheel or library cannot be had."""
    try:
        get_metric(name, Settings(recognizer="las")).require()
    except MissingDependency as error:
        pytest.skip(str(error))


def buzz(n: int = 48_000) -> Array:
    time_s = np.arange(n) / 16_000
    tone = np.sign(np.sin(2 * np.pi * 140 * time_s))
    return np.asarray(0.2 * tone * np.sin(2 * np.pi * 1.5 * time_s) ** 2)


def noise(n: int = 48_000) -> Array:
    return np.random.RandomState(0).randn(n) * 0.1


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        # speechmos 0.0.1.1, `dnsmos.run(sound, 16000)`: p808, sig, bak, ovrl.
        (buzz(), (2.177796, 2.096374, 3.368981, 1.855084)),
        (noise(), (2.103151, 1.134846, 1.092382, 1.103224)),
        (np.tile(buzz(), 4)[:170_000], (2.178076, 2.090301, 3.368739, 1.854213)),
        (buzz()[:3_200], (2.219646, 1.639591, 2.574649, 1.345596)),
    ],
    ids=["buzz", "noise", "10.6 s", "0.2 s"],
)
def test_dnsmos_says_what_the_original_says(sound: Array, expected: tuple[float, ...]) -> None:
    needs("dnsmos")
    clipped = np.clip(sound, -1, 1)
    found = (dnsmos.p808(clipped), *dataclasses.astuple(dnsmos.p835(clipped)))
    assert found == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        # distillmos 0.9.1, `ConvTransformerSQAModel()(sound)`.
        (buzz(), 1.140651),
        (noise(), 1.999563),
        (np.tile(buzz(), 4)[:170_000], 1.122247),
        (buzz()[:3_200], 1.764897),
    ],
    ids=["buzz", "noise", "10.6 s", "0.2 s"],
)
def test_distillmos_says_what_the_original_says(sound: Array, expected: float) -> None:
    needs("distillmos")
    assert distillmos.opinion(sound) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("n", [3_200, 48_000, 47_647, 119_000, distillmos.PIECE_SAMPLES])
def test_what_is_computed_once_of_zeros_is_what_each_sound_would_give(n: int) -> None:
    """With random weights: no network of others is needed to see that nothing is cut off."""
    torch.manual_seed(0)
    network = distillmos.DistillMosNet().eval()
    with torch.inference_mode():
        whole = distillmos.pieces(noise(n))
        short = network.features(whole, n)
        assert short.shape == (1, 1024, distillmos.FRAMES)
        torch.testing.assert_close(short, network.cnn(whole), atol=1e-5, rtol=1e-5)


def test_the_slow_network_is_no_default_column() -> None:
    names = {metric.info.name for metric in select(None, Settings(recognizer="las"))[0]}
    assert "dnsmos_ovrl" not in names


def test_a_long_sound_is_cut_evenly_and_a_minute_has_a_second_between_pieces() -> None:
    assert distillmos.pieces(np.zeros(100)).shape == (1, distillmos.PIECE_SAMPLES)
    ramp = np.arange(960_000.0)
    cut = distillmos.pieces(ramp)
    assert len(cut) == 54
    assert cut[-1, -1] == 959_999
    assert float((cut[1:, 0] - cut[:-1, 0]).max()) <= distillmos.HOP_SAMPLES
    assert len(dnsmos.pieces(ramp.astype(np.float32))) == 51


@pytest.mark.parametrize("name", ["dnsmos", "dnsmos_ovrl", "distillmos"])
def test_silence_and_hours_are_refused_and_other_rates_are_taken(name: str) -> None:
    needs(name)
    metric = get_metric(name)
    with pytest.raises(Unscorable, match="silent"):
        metric.value(paired(None, np.zeros(48_000), 16_000))
    with pytest.raises(Unscorable, match="too_long"):
        metric.value(paired(None, noise(130 * 8_000), 8_000))
    assert 1 <= metric.value(paired(None, buzz()[::2], 8_000)) <= 5


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2).state_dict()}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match="does not hold the weights of DistillMOS"):
        distillmos.load_distillmos(tmp_path / "other.pt")
    pytest.importorskip("onnxruntime")
    (tmp_path / "other.onnx").write_text("no network")
    with pytest.raises(BadInput, match="holds no network"):
        dnsmos.open_session(tmp_path / "other.onnx")


def test_absent_judges_are_named_and_the_other_columns_stay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    known = base.library_version
    monkeypatch.setattr(
        base,
        "library_version",
        lambda name: "absent" if name in ("pocketsphinx", "onnxruntime") else known(name),
    )
    metrics, absent = select(None, Settings(recognizer="las"))
    names = {metric.info.name for metric in metrics}
    assert {"wer", "stoi", "speaker_eer"} <= names
    assert not {"dnsmos", "distillmos", "ge2e_eer", "wer_second"} & names
    lines = "\n".join(absent)
    for said in (
        "GE2E is missing",
        "DistillMOS is missing",
        "dnsmos needs onnxruntime",
        "[judges]",
    ):
        assert said in lines


# --- the second recognizer


def test_its_dictionary_holds_every_word_of_the_grammar(tmp_path: Path) -> None:
    english = tmp_path / "cmudict"
    english.write_text("".join(f"{word} X\n{word}(2) Y\n" for word in WORDS))
    lines = pocketsphinx.dictionary(english).splitlines()
    assert {line.split(" ")[0].split("(")[0] for line in lines} == set(WORDS)
    assert "a EY" in lines
    assert {"z Z IY", "z(2) Z EH D", "now X", "now(2) Y"} <= set(lines)
    assert "a(2) Y" not in lines
    assert "( again | now | please | soon );" in pocketsphinx.grammar()


def test_what_is_no_sentence_gives_no_words() -> None:
    needs("wer_second")
    ears = pocketsphinx.PocketSphinx()
    sounds = [np.zeros(48_000), noise(), buzz()[:3_200]]
    assert ears.transcribe(sounds) == ["", "", ""]
    with pytest.raises(Unscorable, match="too_long"):
        ears.transcribe([np.zeros(11 * 16_000)])
    with pytest.raises(BadInput, match="takes no weights"):
        pocketsphinx.PocketSphinx(Path("model")).require()


class _Says:
    name, label, parameters = "says", "says", {}  # type: ignore[var-annotated]

    def __init__(self, text: str) -> None:
        self.text = text

    def require(self) -> None: ...

    def transcript(self, pair: Pair) -> str:
        return self.text


@pytest.mark.parametrize(
    ("one", "other", "percent"),
    [
        ("bin blue at f two now", "bin blue at f 2 now", 100),
        ("bin blue at f two now", "bin blue at s two", 100 * 4 / 6),
        ("bin blue", "", 0),
    ],
)
def test_agreement_counts_words(one: str, other: str, percent: float) -> None:
    metric = second_recognizer.RecognizerAgreement(_Says(one))  # type: ignore[arg-type]
    metric.second = _Says(other)  # type: ignore[assignment]
    clip = RunClip("s1", "bbaf2n", "bin blue at f two now", "male", "a.wav", "b.wav")
    found = metric.measure(Pair(clip, Recording(buzz(), 16_000), None))
    assert found.value == pytest.approx(percent)
    metric.second = metric.recognizer = _Says("")  # type: ignore[assignment]
    with pytest.raises(Unscorable, match="nothing_heard"):
        metric.measure(Pair(clip, Recording(buzz(), 16_000), None))


# --- whole runs


def test_a_judge_that_crashes_on_one_clip_costs_that_clip(
    make_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fragile(sound: Array) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("boom")
        return 3.0

    monkeypatch.setattr(opinion.DistillMos, "require", lambda self: None)
    monkeypatch.setattr(distillmos, "opinion", fragile)
    run = read_run(make_run(tmp_path / "run"))
    (item,) = score_runs([run], [get_metric("distillmos")], progress=False)
    scores = [score for (_, name), score in item.scores.items() if name == "distillmos"]
    assert sorted(score.status for score in scores) == ["failed", "ok", "ok", "ok"]
    (broken,) = [score for score in scores if score.status == "failed"]
    assert broken.reason == "raised: RuntimeError: boom"


def test_recordings_reach_their_own_floor_by_ge2e(
    make_run: Callable[..., Path], tmp_path: Path
) -> None:
    needs("ge2e_similarity")
    names = ("ge2e_similarity", "ge2e_accuracy", "ge2e_eer")
    metrics = [get_metric(n) for name in names for n in (name, f"{name}_floor")]
    run = read_run(make_run(tmp_path / "run"))
    (item,) = score_runs([run], metrics, progress=False)
    (row,) = system_rows([item], metrics, TableOptions(n_resamples=20))
    found = {metric.info.name: cell.mean for metric, cell in zip(metrics, row.cells, strict=True)}
    for name in names:
        assert found[name] == found[f"{name}_floor"], "make_run copies the recordings"
    assert 0 < (found["ge2e_similarity"] or 0) <= 1
    details = item.scores["s1/bbaf2n", "ge2e_eer"].details
    assert len(details["own"]) == 1  # never with itself
    assert len(details["others"]) == 2
