"""Runs of short sounds by four speakers of two genders, and listeners made of random numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.inputs.pairs import RunDir, read_run
from evaluation.mos.design import Design, make_design
from evaluation.mos.handout import name_trials
from evaluation.mos.options import DesignOptions
from evaluation.mos.records import Key
from manifests.io import write_json, write_jsonl
from manifests.records import RunClip, RunInfo

RATE_HZ = 16_000
SPEAKERS = {"anna": "female", "bert": "male", "cleo": "female", "dirk": "male"}
STEMS = tuple(f"{letter}waz{i}n" for i in range(4) for letter in "bpls")
SECRET = "00112233445566778899aabbccddeeff"
MakeRuns = Callable[..., list[Path]]


def short_sound(seed: int, gain: float = 0.1, seconds: float = 0.35) -> np.ndarray:
    """A burst of noise with a pause: level and activity differ from file to file."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    sound = gain * rng.uniform(0.3, 1.0) * rng.standard_normal(n)
    sound[n // 2 : n // 2 + n // 5] *= 0.01
    return np.clip(sound, -0.99, 0.99)


def write_runs(
    root: Path,
    names: tuple[str, ...] = ("Alpha", "Beta"),
    *,
    n_clips: int = 5,
    speakers: tuple[str, ...] = tuple(SPEAKERS),
    swapped: bool = False,
    kinds: tuple[str, ...] = (),
) -> list[Path]:
    """Run directories of the same clips beside their recordings."""
    order = list(speakers)
    for t, speaker in enumerate(order):
        for i in range(n_clips):
            path = root / "recordings" / speaker / f"{STEMS[i]}{t}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, short_sound(100 * t + i), RATE_HZ)
    paths = []
    for k, name in enumerate(names):
        folder = root / f"run{k}"
        (folder / "wavs").mkdir(parents=True)
        clips = []
        for t, speaker in enumerate(order):
            for i in range(n_clips):
                stem = f"{STEMS[i]}{t}"
                wav = f"wavs/{speaker}_{stem}.wav"
                sound = short_sound(5000 * (k + 1) + 100 * t + i, 0.02 * (k + 1), 0.3 + 0.04 * k)
                soundfile.write(folder / wav, sound, RATE_HZ)
                voice = order[(t + 1 + i % (len(order) - 1)) % len(order)] if swapped else ""
                reference = f"../recordings/{speaker}/{stem}.wav"
                gender = SPEAKERS[speaker]
                clips.append(
                    RunClip(
                        speaker, stem, "bin blue at f two now", gender, wav, reference, "", voice
                    )
                )
        write_jsonl(folder / "clips.jsonl", "run-clips", clips)
        kind = kinds[k] if kinds else "model"
        info = RunInfo(name, kind, "large-unseen", "test", RATE_HZ, len(clips))
        write_json(folder / "run.json", info.to_dict())
        paths.append(folder)
    return paths


@pytest.fixture(scope="session")
def make_runs() -> MakeRuns:
    return write_runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDir]:
    """Two systems, four speakers, five clips each. Nobody may write into them."""
    return [read_run(path) for path in write_runs(tmp_path_factory.mktemp("runs"))]


@pytest.fixture(scope="session")
def many_runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDir]:
    """Enough clips for the paper's design. Nobody may write into them."""
    folder = tmp_path_factory.mktemp("many")
    return [read_run(path) for path in write_runs(folder, n_clips=13)]


def key_of(design: Design) -> Key:
    """The key of a test whose sounds nobody needs."""
    trials, _ = name_trials(design, SECRET)
    conditions = {
        part: [condition.to_dict() for condition in found]
        for part, found in design.conditions.items()
    }
    return Key("0123456789", SECRET, {"title": design.options.title}, conditions, trials, ())


@pytest.fixture(scope="session")
def make_key() -> Callable[..., Key]:
    def make(runs: list[RunDir], **options: object) -> Key:
        return key_of(make_design(runs, DesignOptions(**options)))  # type: ignore[arg-type]

    return make


class Listeners:
    """Answers with known means: a condition's quality, a bias of the listener, and noise."""

    def __init__(self, quality: dict[str, float], seed: int = 0) -> None:
        self.quality, self.rng = quality, np.random.default_rng(seed)
        self.bias_sd, self.noise_sd = 0.3, 0.7

    def rating(self, condition: str, bias: float) -> int:
        heard = self.quality[condition] + bias + self.rng.normal(0, self.noise_sd)
        return int(np.clip(np.rint(heard), 1, 5))

    def expected(self, condition: str, n: int = 200_000) -> float:
        rng = np.random.default_rng(1)
        spread = np.hypot(self.bias_sd, self.noise_sd)
        return float(np.clip(np.rint(rng.normal(self.quality[condition], spread, n)), 1, 5).mean())

    def answers(self, key: Key, subject: str) -> list[dict[str, object]]:
        """Like a careful listener's: traps and tones right, golds as heard, repeats repeated."""
        bias = float(self.rng.normal(0, self.bias_sd))
        given: dict[str, int] = {}
        found: list[dict[str, object]] = []
        for trial in key.trials:
            if trial.subject != subject:
                continue
            if trial.role in ("trap", "headphones"):
                assert trial.expected
                rating = trial.expected[0]
            elif trial.role == "repeat":
                shift = int(self.rng.integers(-1, 2))
                rating = int(np.clip(given[trial.repeats] + shift, 1, 5))
            else:
                rating = self.rating(trial.condition, bias)
            given[trial.trial] = rating
            found.append({"trial": trial.trial, "rating": rating, "plays": [1], "seconds": 4.5})
        return found

    def write(self, folder: Path, key: Key, subjects: list[str] | None = None) -> list[Path]:
        """A JSON file for each subject, as the page saves it."""
        paths = []
        for subject in subjects or sorted({trial.subject for trial in key.trials}):
            path = folder / f"{subject}.json"
            write_result(path, key, subject, self.answers(key, subject))
            paths.append(path)
        return paths


def write_result(
    path: Path, key: Key, subject: str, answers: list[dict[str, object]], /, **changes: object
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "schema": "listening-results", "schema_version": 1, "design": key.design,
        "subject": subject, "consent": True, "comment": "", "answers": answers, **changes,
    }  # fmt: skip
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def listeners() -> type[Listeners]:
    return Listeners


@pytest.fixture(scope="session")
def save_result() -> Callable[..., Path]:
    return write_result
