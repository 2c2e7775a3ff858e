"""What a number means at its ends, for every metric that needs nothing of the user: real recordings come
before recordings of other clips in their place, and those before white noise.

Held are orders, each by a margin, not levels: the clips are real ones where there are any, else
SynthGRID's, and what other speech scores depends on how alike a corpus's speakers are. A margin is about
half of the smaller gap of the two corpora. Where other speech and noise both know nothing of the clip,
either may come last (STOI puts noise first).

A metric that is registered and has no line here fails the first test.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import builds
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from evaluation.inputs.pairs import Pair, Recording, RunDir, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import FACES, REGISTRY, WAVLM, Metric, get_metric
from evaluation.models.registry import DEFAULT
from evaluation.reporting.tables import Cell, TableOptions, system_rows
from evaluation.scoring.run import ScoredRun, score_runs
from gridprep.corpora.grid import find_clips
from gridprep.synth.corpus import make_corpus
from manifests.errors import BadInput, MissingDependency
from manifests.grammar import words_of
from manifests.io import read_manifest, write_json, write_jsonl
from manifests.records import Clip, ManifestRow, RunClip, RunInfo

RATE_HZ = 16_000
SIDES = ("real", "shuffled", "noise")
SETTINGS = Settings(recognizer=DEFAULT, lips=True, landmarks=True, swaps=True)
SPEAKERS = ("s1", "s3", "s5", "s4", "s31", "s34")
"""Three men, three women."""
CLIPS_EACH = 2

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Order:
    """How far a metric must keep the three sides apart, in its own unit; positive is better first.

    Attributes:
        shuffled: real recordings before those of other speakers saying other words; None for a metric
            that does not know which clip it should be and finds both exactly as good.
        noise: real recordings before white noise, where that has a number at all.
        then: other speech before white noise; None where either may come last.
        real: what recordings score against themselves by definition; None where that depends on them.
    """

    shuffled: float | None
    noise: float
    then: float | None = None
    real: float | None = None


ORDERS: dict[str, Order] = {
    "dnsmos": Order(None, 0.4, then=0.4),
    "dnsmos_ovrl": Order(None, 0.5, then=0.5),
    "distillmos": Order(None, 0.4, then=0.4),
    "degradation_index": Order(None, 1.5, then=1.5),
    "stoi": Order(0.35, 0.3, real=1),
    "estoi": Order(0.48, 0.48, real=1),
    "stoi_aligned": Order(0.33, 0.3, real=1),
    "estoi_aligned": Order(0.45, 0.48, real=1),
    "pesq_wb": Order(1.4, 1.5, real=4.64),
    "pesq_nb": Order(1.2, 1.3, real=4.55),
    "mcd": Order(3, 3, real=0),
    "mcd_dtw": Order(2.5, 3, real=0),
    "mel_l1": Order(0.6, 1.5, then=0.75, real=0),
    "f0_rmse": Order(380, 720, then=290, real=0),
    "vuv_error": Order(8.5, 22, then=9, real=0),
    "f0_corr": Order(0.12, 0.48, then=0.16, real=1),
    "cer": Order(27, 25),
    "wer": Order(34, 31),
    "cer_second": Order(27, 40),
    "wer_second": Order(34, 40),
    "recognizer_agreement": Order(None, 40, then=40),
    "cer_homophones": Order(27, 25),
    "wer_homophones": Order(34, 31),
    "wer_whisper_normalizer": Order(34, 31),
    "cer_grammar": Order(27, 25),
    "wer_grammar": Order(34, 31),
    "lip_cer": Order(27, 42, then=13, real=0),
    "lip_wer": Order(36, 50, then=13, real=0),
    "keyword": Order(39, 41),
    "slot_command": Order(25, 16),
    "slot_color": Order(16, 29),
    "slot_preposition": Order(33, 25),
    "slot_letter": Order(41, 41),
    "slot_digit": Order(37, 41),
    "slot_adverb": Order(37, 29),
    "ge2e_similarity": Order(0.07, 0.1),
    "ge2e_accuracy": Order(37, 33),
    "ge2e_eer": Order(16, 16),
    "speaker_similarity": Order(0.32, 0.3),
    "speaker_accuracy": Order(37, 33),
    "speaker_eer": Order(16, 16),
    "gender_agreement": Order(25, 25),
    "gender_agreement_f0": Order(25, 25),
    "voice_follows_ge2e": Order(16, 16),
    "voice_follows": Order(16, 20),
    "f0_voice": Order(220, 740, then=500),
    "f0_follows": Order(20, 20),
    "av_correlation": Order(0.05, 0.14, then=0.09),
}
USERS = {
    "nisqa_tts": "--nisqa-weights",
    "utmos": "--utmos-weights",
    "speechbertscore": "--speechbertscore-weights",
    **dict.fromkeys(WAVLM, "--wavlm-weights"),
    "lse_c": "--syncnet-weights",
    "lse_d": "--syncnet-weights",
}
"""Metrics whose weights only the user has, and the option that brings them."""
SWAPS = ("voice_follows_ge2e", "voice_follows", "f0_voice", "f0_follows")


def ranked() -> Iterator[str]:
    for name in REGISTRY:
        info = get_metric(name).info
        if info.ranks and name not in FACES:  # those of pictures: `test_evaluation_faces`
            yield name


def test_every_ranked_metric_has_an_order() -> None:
    assert set(ranked()) <= set(ORDERS) | set(USERS)
    assert not set(ORDERS) & set(USERS)


@pytest.mark.parametrize("name", USERS)
def test_metrics_of_the_users_weights_say_which(name: str) -> None:
    with pytest.raises(MissingDependency, match=USERS[name]):
        get_metric(name).require()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A build of two clips each of three men and three women, real ones where there are any."""
    folder = tmp_path_factory.mktemp("honesty")
    corpus = folder / "corpus"
    try:
        found = find_clips(request.getfixturevalue("real_grid")).clips
    except pytest.skip.Exception:
        make_corpus(corpus, speakers=SPEAKERS, sentences=CLIPS_EACH, seed=1, jobs=1)
    else:
        for clip in varied(found):
            builds.add_clip(corpus, clip.speaker, clip.stem, Path(clip.video))
    code, _, errors = builds.gridprep(
        "build", "--corpus", corpus, "--out", folder / "build", "--split", "all-seen", "--jobs", "1"
    )  # fmt: skip
    assert code in (0, 6), errors  # six would be a grey clip in the draw
    return folder / "build"


def varied(clips: Sequence[Clip]) -> list[Clip]:
    """Clips whose sentences share few words: where everybody bins something blue, other speech is half
    right and nothing can be told from it."""
    rng = random.Random(3)
    chosen: list[Clip] = []

    def shared(clip: Clip) -> int:
        words = words_of(clip.stem)
        said = [words_of(other.stem) for other in chosen]
        return sum(word == other[k] for other in said for k, word in enumerate(words))

    for _ in range(CLIPS_EACH):
        for speaker in SPEAKERS:
            there = [c for c in clips if c.speaker == speaker and c not in chosen]
            chosen.append(min(rng.sample(there, len(there)), key=shared))
    return chosen


def derangement(rows: list[ManifestRow], seed: int) -> list[int]:
    """For each clip one of another speaker that says something else, as far as there is one."""
    rng = random.Random(seed)
    best: list[int] = []
    for _ in range(400):
        order = list(range(len(rows)))
        rng.shuffle(order)
        if all(rows[i].speaker != rows[j].speaker for i, j in enumerate(order)):
            best = order
            break
    assert best, "too few speakers"
    return best


@pytest.fixture(scope="module")
def runs(build: Path) -> dict[str, Path]:
    """The three sides as run directories, each once plain and once as a swap."""
    rows = read_manifest(build)[1]
    other, voices = derangement(rows, 0), derangement(rows, 1)
    rng = np.random.default_rng(0)
    letters = "qwrtpsdfg"

    def sound(row: ManifestRow) -> NDArray[np.float64]:
        return soundfile.read(build / row.paths["audio"])[0]

    def noise() -> NDArray[np.float64]:
        return 0.05 * rng.standard_normal(3 * RATE_HZ)

    def gibberish() -> str:
        return " ".join("".join(rng.choice(list(letters), 3)) for _ in range(6))

    heard: dict[str, Callable[[int], NDArray[np.float64]]] = {
        "real": lambda i: sound(rows[i]),
        "shuffled": lambda i: sound(rows[other[i]]),
        "noise": lambda _: noise(),
        "real-swap": lambda i: sound(rows[voices[i]]),
        "shuffled-swap": lambda i: sound(rows[other[i]]),
        "noise-swap": lambda _: noise(),
    }
    read = {
        "real": lambda i: rows[i].sentence,
        "shuffled": lambda i: rows[other[i]].sentence,
        "noise": lambda _: gibberish(),
    }
    made = {}
    for name, wav_of in heard.items():
        root = build.parent / name
        (root / "wavs").mkdir(parents=True)
        clips = []
        for i, row in enumerate(rows):
            file = f"wavs/{row.speaker}_{row.stem}.wav"
            soundfile.write(root / file, wav_of(i), RATE_HZ, subtype="PCM_16")
            clips.append(
                RunClip(
                    row.speaker,
                    row.stem,
                    row.sentence,
                    row.gender,
                    file,
                    f"../{build.name}/{row.paths['audio']}",
                    voice=rows[voices[i]].speaker if name.endswith("-swap") else "",
                    transcript=read[name.split("-")[0]](i),
                )
            )
        write_jsonl(root / "clips.jsonl", "run-clips", clips)
        info = RunInfo(name, "model", "all-seen", "test", RATE_HZ, len(clips))
        write_json(root / "run.json", info.to_dict())
        made[name] = root
    return made


@pytest.fixture(scope="module")
def scored(runs: dict[str, Path]) -> dict[str, dict[str, ScoredRun]]:
    """Metric → its three sides, all metrics at once so that a sound's F0 is tracked once. Metrics whose
    library or weights are not installed are left out."""
    read = {name: read_run(root) for name, root in runs.items()}
    found: dict[str, dict[str, ScoredRun]] = {}
    for suffix in ("", "-swap"):
        metrics = []
        for name in filter(REGISTRY.__contains__, ORDERS):
            if (name in SWAPS) is bool(suffix) and not absence(name, read["real"]):
                metric = get_metric(name, SETTINGS)
                floors = [get_metric(metric.info.floor, SETTINGS)] if metric.info.floor else []
                metrics += [metric, *floors]
        sides = score_runs([read[side + suffix] for side in SIDES], metrics, progress=False)
        found |= {m.info.name: dict(zip(SIDES, sides, strict=True)) for m in metrics}
    return found


def absence(name: str, run: RunDir) -> str:
    """Why a metric cannot be computed here, "" where it can."""
    metric = get_metric(name, SETTINGS).for_run(run)
    clip = run.clips[0]
    reference = run.reference(clip)
    assert reference is not None
    try:
        metric.require()
        metric.score(Pair(clip, Recording(run.wav(clip)), Recording(reference), run.root))
    except (MissingDependency, BadInput) as error:
        return str(error)
    return ""


def cell_of(found: ScoredRun, metric: Metric) -> Cell:
    (row,) = system_rows([found], [metric], TableOptions(n_resamples=100))
    (cell,) = row.cells
    return cell


@pytest.mark.parametrize("name", [name for name in ORDERS if name in REGISTRY])
def test_recordings_then_others_then_noise(
    name: str, scored: dict[str, dict[str, ScoredRun]], runs: dict[str, Path]
) -> None:
    if name not in scored:
        pytest.skip(f"not installed here: {absence(name, read_run(runs['real']))}")
    metric, sides = get_metric(name, SETTINGS), scored[name]
    cells = {side: cell_of(found, metric) for side, found in sides.items()}
    real, shuffled, noise = (cells[side].mean for side in SIDES)
    told = f"real {real}, shuffled {shuffled}, noise {noise}"
    order = ORDERS[name]
    assert real is not None, told
    assert shuffled is not None, told
    sign = 1 if metric.info.direction == "higher" else -1
    if order.real is not None:
        assert real == pytest.approx(order.real, abs=0.02), told
    if order.shuffled is not None:
        assert sign * (real - shuffled) >= order.shuffled, told
    else:
        assert shuffled == pytest.approx(real, abs=0.02), told
    if noise is None:  # no number is the most honest one
        assert cells["noise"].n_failed == len(sides["noise"].run.clips)
        assert all(cells["noise"].reasons), "every failure has a reason"
    else:
        assert sign * (real - noise) >= order.noise, told
        assert order.then is None or sign * (shuffled - noise) >= order.then, told
    if metric.info.floor:
        floor = get_metric(metric.info.floor, SETTINGS)
        assert cell_of(sides["real"], floor).mean == real, "a recording is its own floor"
        assert cell_of(sides["noise"], floor).mean == real, "the floor hears no system"
