"""What a number means at its ends, for every metric that needs nothing of the user: real recordings score
near their ceiling, recordings of other clips in their place near chance, white noise at the bottom.

Where other speech and noise both know nothing of the clip, either may come last (STOI puts noise first).

A metric that is registered and has no line here fails the first test. The clips are real ones where there
are any, else SynthGRID's: twenty or so, so the bounds are wide; what they hold is the order.
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

from evaluation.inputs.pairs import Pair, Recording, Run, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import REGISTRY, Metric, get_metric
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
Bounds = tuple[float, float]
SPEAKERS = ("s1", "s3", "s5", "s4", "s31", "s34")
"""Three men, three women."""
CLIPS_EACH = 2

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Order:
    """Where a metric's number over the clips must lie.

    Attributes:
        real: for the recordings themselves.
        shuffled: for recordings of other speakers saying other words.
        noise: for white noise, where it has a number at all.
        of_clip: whether it knows which clip it should be; one that does not finds other recordings
            exactly as good.
    """

    real: Bounds
    shuffled: Bounds
    noise: Bounds
    of_clip: bool = True


WORDS = Order((0, 45), (40, 130), (40, 250))
LETTERS = Order((0, 30), (25, 110), (25, 200))
SLOT = Order((60, 100), (0, 75), (0, 75))
ORDERS: dict[str, Order] = {
    "quality": Order((2.5, 4.7), (2.5, 4.7), (0.9, 2.5), of_clip=False),
    "stoi": Order((0.999, 1), (-0.1, 0.5), (-0.1, 0.5)),
    "estoi": Order((0.999, 1), (-0.1, 0.3), (-0.1, 0.2)),
    "stoi_aligned": Order((0.999, 1), (-0.1, 0.5), (-0.1, 0.5)),
    "estoi_aligned": Order((0.999, 1), (-0.1, 0.3), (-0.1, 0.2)),
    "pesq_wb": Order((4.5, 4.7), (1, 1.6), (1, 1.4)),
    "pesq_nb": Order((4.4, 4.6), (1, 2), (1, 1.8)),
    "mcd": Order((0, 0), (8, 60), (20, 80)),
    "mcd_dtw": Order((0, 0), (6, 60), (20, 100)),
    "mel_l1": Order((0, 0), (0.7, 3), (1.5, 8)),
    "f0_rmse": Order((0, 0), (200, 2000), (300, 3000)),
    "vuv_error": Order((0, 0), (20, 60), (20, 60)),
    "f0_corr": Order((1, 1), (-0.6, 0.7), (-0.8, 0.7)),
    "cer": LETTERS,
    "wer": WORDS,
    "cer_grammar": LETTERS,
    "wer_grammar": WORDS,
    "lip_cer": Order((0, 0), (25, 100), (60, 130)),
    "lip_wer": Order((0, 0), (50, 100), (80, 130)),
    "keyword": Order((40, 100), (0, 40), (0, 40)),
    "slot_command": SLOT,
    "slot_color": SLOT,
    "slot_preposition": SLOT,
    "slot_letter": Order((20, 100), (0, 40), (0, 40)),
    "slot_digit": SLOT,
    "slot_adverb": SLOT,
    "speaker_similarity": Order((0.5, 1), (-0.5, 0.5), (-0.6, 0.5)),
    "speaker_accuracy": Order((65, 100), (0, 35), (0, 45)),
    "speaker_eer": Order((0, 25), (40, 100), (30, 100)),
    "gender_agreement": Order((85, 100), (10, 90), (0, 75)),
    "gender_agreement_f0": Order((75, 100), (10, 90), (0, 75)),
    "voice_follows": Order((90, 100), (15, 85), (0, 90)),
    "f0_voice": Order((0, 250), (200, 1500), (300, 3000)),
    "f0_follows": Order((85, 100), (0, 90), (0, 75)),
    "av_correlation": Order((0.4, 1), (0.15, 0.55), (0.05, 0.35)),
}
USERS = {"nisqa_tts": "--nisqa-weights", "lse_c": "--syncnet-weights", "lse_d": "--syncnet-weights"}
"""Metrics whose weights only the user has, and the option that brings them."""
SWAPS = ("voice_follows", "f0_voice", "f0_follows")
TIED = 1e-6


def ranked() -> Iterator[str]:
    for name in REGISTRY:
        info = get_metric(name).info
        if info.direction != "none" and info.group != "floor":
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


def absence(name: str, run: Run) -> str:
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


def inside(value: float | None, bounds: Bounds) -> bool:
    return value is not None and bounds[0] - TIED <= value <= bounds[1] + TIED


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
    assert inside(real, order.real), told
    assert inside(shuffled, order.shuffled), told
    assert real is not None
    assert shuffled is not None
    sign = 1 if metric.info.direction == "higher" else -1
    if order.of_clip:
        assert sign * real > sign * shuffled + TIED, told
    else:
        assert shuffled == pytest.approx(real, abs=0.02), told
    if noise is None:  # no number is the most honest one
        assert cells["noise"].n_failed == len(sides["noise"].run.clips)
        assert all(cells["noise"].reasons), "every failure has a reason"
    else:
        assert inside(noise, order.noise), told
        assert sign * real > sign * noise + TIED, told
    if metric.info.floor:
        floor = get_metric(metric.info.floor, SETTINGS)
        assert cell_of(sides["real"], floor).mean == real, "a recording is its own floor"
        assert cell_of(sides["noise"], floor).mean == real, "the floor hears no system"
