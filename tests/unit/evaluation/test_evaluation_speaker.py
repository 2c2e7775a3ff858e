"""Whose voice it is: the network's input, enrollment, the scores of speaker and gender, their tables."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from evaluation.inputs import enrollment
from evaluation.inputs.build_files import of_synthgrid
from evaluation.inputs.enrollment import Enrolled, Trials, trials
from evaluation.inputs.pairs import RunDir, Unscorable, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import BY_GE2E, get_metric, select
from evaluation.metrics.gender import GenderAgreement
from evaluation.metrics.speaker import SpeakerSimilarity
from evaluation.models import ecapa, gender, shipped
from evaluation.models.judges import Judge
from evaluation.reporting import tables
from evaluation.reporting.captions import annotate, chance, floor
from evaluation.reporting.tables import TableOptions, system_rows
from evaluation.scoring.run import SCORES, ScoredRun, score_runs
from evaluation.scoring.settings import read_settings
from manifests.errors import BadInput, MissingDependency
from manifests.io import read_jsonl, write_jsonl
from manifests.records import RunClip, Score

Make = Callable[..., NDArray[np.float64]]
NAMES = ("speaker_similarity", "speaker_accuracy", "speaker_eer")
GENDER = "gender_agreement_f0"
SPEAKERS = ("s1", "s4", "s7")
STEMS = ("bbaf2n", "lgbf6s", "sbby8p")


# --- what the network hears


def test_pauses_and_level_are_not_heard(make_sound: Make) -> None:
    sound = make_sound(1, 3.0)
    mel = ecapa.active_mel(sound)
    assert mel.shape[1] == ecapa.SPEC.n_mels
    assert ecapa.LEAST_FRAMES < len(mel) < 300
    assert np.allclose(ecapa.active_mel(0.1 * sound), mel, atol=1e-3)
    quiet = np.concatenate([np.zeros(16_000), sound, np.zeros(16_000)])
    assert abs(len(ecapa.active_mel(quiet)) - len(mel)) <= 4


def test_windows_are_equally_long_and_cover_the_clip() -> None:
    mel = np.random.default_rng(0).normal(size=(400, 80)).astype(np.float32)
    cut = ecapa.windows(mel)
    assert cut.shape == (5, ecapa.WINDOW_FRAMES, 80)
    assert np.allclose(cut.mean(axis=1), 0, atol=1e-5)
    assert np.allclose(cut[-1], ecapa.normalized(mel[-ecapa.WINDOW_FRAMES :]))
    assert ecapa.windows(mel[:40]).shape == (1, ecapa.WINDOW_FRAMES, 80)
    assert len(ecapa.windows(np.tile(mel, (30, 1)))) == ecapa.MOST_WINDOWS


def test_a_click_is_too_little_speech() -> None:
    click = np.zeros(48_000)
    click[20_000:20_400] = 0.5
    with pytest.raises(Unscorable, match="too_little_speech"):
        ecapa.active_mel(click)


def test_batches_do_not_change_embeddings(make_sound: Make) -> None:
    mels = [ecapa.active_mel(make_sound(seed, 2.0 + seed)) for seed in range(3)]
    network = ecapa.load_ecapa()
    together = network.embed(mels)
    alone = np.concatenate([network.embed([mel]) for mel in mels])
    assert together.shape == (3, 96)
    assert np.allclose(np.linalg.norm(together, axis=1), 1)
    assert np.allclose(together, alone, atol=1e-5)


# --- shipped weights


def test_shipped_weights_are_their_cards() -> None:
    for path in (ecapa.WEIGHTS, gender.WEIGHTS):
        found = shipped.open_shipped(path)
        assert found.sha256 == found.card["sha256"]
        assert found.sha256 in path.with_suffix(".md").read_text()
        trained_on = " ".join(found.card["trained_on"]).split()
        assert not {"s1", "s2", "s4", "s29"} & set(trained_on)
    assert ecapa.WEIGHTS.stat().st_size < 4e6


def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "speaker.safetensors"
    shutil.copy(ecapa.WEIGHTS, path)
    shutil.copy(shipped.card_of(ecapa.WEIGHTS), shipped.card_of(path))
    assert ecapa.load_ecapa(path)
    changed = tmp_path / "other" / "speaker.safetensors"
    changed.parent.mkdir()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    shutil.copy(shipped.card_of(path), shipped.card_of(changed))
    with pytest.raises(BadInput, match="not the file of its card"):
        ecapa.load_ecapa(changed)
    with pytest.raises(BadInput, match="does not exist"):
        ecapa.load_ecapa(tmp_path / "none.safetensors")


# --- trials


def unit(*values: float) -> NDArray[np.float64]:
    return np.array(values) / np.linalg.norm(values)


def test_the_own_clip_is_never_compared_with() -> None:
    voices = {
        "s1": Enrolled(("s1/a", "s1/b"), np.stack([unit(1, 0), unit(0, 1)])),
        "s2": Enrolled(("s2/a",), np.stack([unit(1, 1)])),
    }
    found = trials(unit(1, 0), "s1", "s1/a", voices)
    assert found.own == pytest.approx(0)
    assert found.others == pytest.approx({"s2": 2**-0.5})
    assert trials(unit(1, 0), "s1", "s1/c", voices).own == pytest.approx(2**-0.5)
    with pytest.raises(Unscorable, match="no_enrollment"):
        trials(unit(1, 0), "s2", "s2/a", voices)
    with pytest.raises(Unscorable, match="no_enrollment"):
        trials(unit(1, 0), "s9", "s9/a", voices)


def test_as_near_as_another_is_not_identified() -> None:
    assert Trials("s1", 0.5, {"s2": 0.5, "s3": 0.1}).nearest == "s2"
    assert Trials("s1", 0.6, {"s2": 0.5}).nearest == "s1"


# --- scores of runs


@pytest.fixture
def by_pitch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that hears nothing but brightness: the made sounds differ in F0 alone."""

    class Ears:
        def embed(self, sounds: list[NDArray[np.float32]]) -> NDArray[np.float64]:
            bands = np.stack([mel[:, :40].mean(axis=0) for mel in sounds]).astype(float)
            bands -= bands.mean(axis=1, keepdims=True)
            return bands / np.linalg.norm(bands, axis=1, keepdims=True)

    for module in (ecapa, enrollment):
        monkeypatch.setattr(module, "load_ecapa", lambda: Ears())
    enrollment.enrolled.cache_clear()


@pytest.fixture
def voiced(tmp_path: Path, make_sound: Make) -> Callable[..., Path]:
    """A run whose speakers differ in F0 (100, 200, 320 Hz); `speaks` says whose voice a clip has."""
    f0_hz = dict(zip(SPEAKERS, (100.0, 200.0, 320.0), strict=True))

    def make(name: str, speaks: dict[str, str] | None = None, **changes: str) -> Path:
        root = tmp_path / name
        clips = []
        for speaker in SPEAKERS:
            for k, stem in enumerate(STEMS):
                for side, who in (("real", speaker), (name, (speaks or {}).get(speaker, speaker))):
                    path = tmp_path / side / f"{speaker}_{stem}.wav"
                    path.parent.mkdir(exist_ok=True)
                    seed = k + 10 * (side == name)
                    soundfile.write(path, make_sound(seed, 1.6, f0_hz[who]), 16_000)
                given = "male" if speaker == "s1" else "female"
                clip = RunClip(
                    speaker, stem, "bin blue at f two now", given, f"{speaker}_{stem}.wav",
                    f"../real/{speaker}_{stem}.wav",
                )  # fmt: skip
                clips.append(dataclasses.replace(clip, **changes))
        write_jsonl(root / "clips.jsonl", "run-clips", clips)
        info = {
            "name": name, "kind": "model", "split": "small", "subset": "test",
            "sample_rate_hz": 16_000, "n_expected": len(clips),
        }  # fmt: skip
        (root / "run.json").write_text(json.dumps(info))
        return root

    return make


def scored(*roots: Path, names: tuple[str, ...] = NAMES) -> list[ScoredRun]:
    metrics = [get_metric(n) for name in names for n in (name, get_metric(name).info.floor)]
    return score_runs([read_run(root) for root in roots], metrics, progress=False)


def cells(item: ScoredRun, names: tuple[str, ...] = NAMES) -> dict[str, float | None]:
    row = system_rows([item], [get_metric(name) for name in names], TableOptions(n_resamples=50))[0]
    return {name: cell.mean for name, cell in zip(names, row.cells, strict=True)}


@pytest.mark.usefixtures("by_pitch")
def test_the_same_recordings_are_listened_to_once_for_all_systems(
    voiced: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    listened = []
    real = enrollment._enrolled

    def counted(of: enrollment.Enrollment, *how: Any) -> dict[str, Enrolled]:
        listened.append(of.root.name)
        return real(of, *how)

    monkeypatch.setattr(enrollment, "_enrolled", counted)
    runs = scored(voiced("One"), voiced("Two"), names=("speaker_similarity",))
    assert listened == ["One"]
    first, second = (cells(run, ("speaker_similarity",)) for run in runs)
    assert first == second


@pytest.mark.usefixtures("by_pitch")
def test_right_voices_near_the_floor_and_wrong_ones_below_chance(
    voiced: Callable[..., Path],
) -> None:
    turned = {"s1": "s4", "s4": "s7", "s7": "s1"}
    items = scored(voiced("Right"), voiced("Wrong", turned), names=(*NAMES, GENDER))
    right, wrong = (cells(item, (*NAMES, GENDER)) for item in items)
    similarity = get_metric("speaker_similarity").info
    reached = floor(items, similarity, TableOptions(n_resamples=50))
    assert reached.mean is not None
    assert right["speaker_similarity"] == pytest.approx(reached.mean, abs=0.05)
    assert right["speaker_accuracy"] == 100
    assert (right["speaker_eer"] or 0) < 10
    assert right[GENDER] == 100
    assert (wrong["speaker_similarity"] or 0) < reached.mean - 0.1
    assert wrong["speaker_accuracy"] == 0
    assert (wrong["speaker_eer"] or 0) > 50
    # The man speaks as a woman, one of two women as a man: half of the women, none of the men.
    assert wrong[GENDER] == pytest.approx(25)


@pytest.mark.usefixtures("by_pitch")
def test_a_swap_is_held_against_the_face(voiced: Callable[..., Path]) -> None:
    swap = voiced("Swap", dict.fromkeys(SPEAKERS, "s4"), voice="s4")
    names = ("speaker_accuracy", GENDER)
    item = scored(swap, names=names)[0]
    found = cells(item, names)
    assert found["speaker_accuracy"] == 100
    assert found[GENDER] == 100
    score = item.scores["s1/bbaf2n→s4", GENDER]
    assert score.details["expected"] == "female"
    # The recordings are of the lips' speakers.
    real = item.scores["s1/bbaf2n→s4", "gender_agreement_f0_floor"]
    assert (real.value, real.details["expected"]) == (100, "male")
    assert item.scores["s1/bbaf2n→s4", "speaker_accuracy_floor"].details["target"] == "s1"


@pytest.mark.usefixtures("by_pitch")
def test_captions_say_floor_and_chance(voiced: Callable[..., Path]) -> None:
    items = scored(voiced("Right"))
    metrics = [get_metric(name) for name in NAMES]
    made = tables.system_tables(items, metrics, TableOptions(n_resamples=50))
    assert [table.title for table in made] == ["Voice: speaker and gender"]
    text = " ".join(annotate(made[0], items, TableOptions(n_resamples=50)).remarks)
    assert "Speaker ID (ECAPA) 33.3 %, Speaker EER (ECAPA) 50.0 %" in text
    assert "On the recordings of the same clips: Speaker sim." in text
    assert chance(items, metrics[1].info) == "Speaker ID (ECAPA) 33.3 %"
    assert chance(items, get_metric("stoi").info) == ""


@pytest.mark.usefixtures("by_pitch")
def test_known_scores_stay_until_a_recording_changes(
    voiced: Callable[..., Path], make_sound: Make
) -> None:
    root = voiced("Right")
    n = scored(root)[0].n_new
    assert n == 9 * 2 * len(NAMES)
    assert scored(root)[0].n_new == 0
    soundfile.write(root.parent / "real" / "s7_bbaf2n.wav", make_sound(99, 1.6, 330), 16_000)
    again = scored(root)[0]
    assert again.n_new == n, "every speaker is told by what is known of all"
    rows = read_jsonl(root / SCORES, "scores", Score)[1]
    assert len(rows) == n


@pytest.mark.usefixtures("by_pitch")
def test_one_speaker_cannot_be_mistaken(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run", speakers=("s1",))
    item = scored(root)[0]
    assert item.scores["s1/bbaf2n", "speaker_similarity"].status == "ok"
    assert "chance" not in item.scores["s1/bbaf2n", "speaker_similarity"].details
    for name in ("speaker_accuracy", "speaker_eer"):
        assert item.scores["s1/bbaf2n", name].reason.startswith("one_speaker")
    (root.parent / "recordings" / "s1_lgbf6s.wav").unlink()
    alone = scored(root)[0].scores
    assert alone["s1/bbaf2n", "speaker_similarity"].reason.startswith("no_enrollment")
    assert alone["s1/lgbf6s", "speaker_similarity"].status == "ok"


# --- gender


def test_gender_of_the_face(voiced: Callable[..., Path]) -> None:
    run = read_run(voiced("Run"))
    metric = get_metric("gender_agreement").for_run(run)
    assert isinstance(metric, GenderAgreement)
    clip = run.clips[0]
    assert metric.expected(clip) == "male"
    assert metric.expected(dataclasses.replace(clip, voice="s4")) == "female"
    assert metric.expected(dataclasses.replace(clip, voice="s29")) == "female", "as GRID lists her"
    assert metric.expected(dataclasses.replace(clip, voice="Ann")) == ""


def test_pitch_decides_where_it_is_clear() -> None:
    numbers = gender.load_gender()
    for f0_hz, female in ((90.0, False), (120.0, False), (200.0, True), (240.0, True)):
        track = np.full(60, f0_hz)
        seen = gender.features(track, np.zeros(0), "f0")
        assert (gender.probability(seen, numbers, "f0") > 0.5) is female
    with pytest.raises(Unscorable, match="too_few_voiced"):
        gender.pitch_features(np.full(60, np.nan))


def test_noise_is_nobody(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    noise = np.random.default_rng(0)
    root = make_run(
        tmp_path / "run", change=lambda sound, _: 0.1 * noise.standard_normal(len(sound))
    )
    names = ("speaker_similarity",)
    item = scored(root, names=names)[0]
    real = floor([item], get_metric("speaker_similarity").info, TableOptions(n_resamples=50))
    assert real.mean is not None
    assert (cells(item, names)["speaker_similarity"] or 0) < real.mean - 0.3


def test_parameters_name_weights_and_features() -> None:
    parameters = SpeakerSimilarity().info.parameters
    card = shipped.open_shipped(ecapa.WEIGHTS).card
    assert parameters["weights_sha256"] == parameters["source"] == card["sha256"]
    assert parameters["mel"] == ecapa.SPEC.fingerprint()
    both = GenderAgreement().info.parameters["source"]
    assert card["sha256"] in both
    assert shipped.open_shipped(gender.WEIGHTS).sha256 in both


def test_a_bound_metric_leaves_the_shared_one_alone(voiced: Callable[..., Path]) -> None:
    run: RunDir = read_run(voiced("Run"))
    metric = SpeakerSimilarity()
    bound = metric.for_run(run)
    assert isinstance(bound, SpeakerSimilarity)
    assert bound.enrollment is not None
    travelled = pickle.loads(pickle.dumps(bound))
    assert travelled.enrollment == bound.enrollment, "it works in another process"
    assert metric.enrollment is None


@pytest.mark.parametrize("synthgrid", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_ecapa_judges_by_default_where_it_errs_less_or_is_alone(
    monkeypatch: pytest.MonkeyPatch, there: bool, synthgrid: bool
) -> None:
    def find(self: Judge) -> dict[object, Path]:
        if there:
            return {}
        raise MissingDependency("GE2E is missing", "fetch it")

    monkeypatch.setattr(Judge, "find", find)
    chosen = {m.info.name for m in select(None, Settings(swaps=True, synthgrid=synthgrid))[0]}
    ecapa, ge2e = set(BY_GE2E), set(BY_GE2E.values())
    wanted = (ge2e if there else set()) | (ecapa if synthgrid or not there else set())
    assert chosen & (ecapa | ge2e) == wanted
    assert {m.info.name for m in select(["speaker_eer"])[0]} >= {"speaker_eer"}, "where named"


@pytest.mark.parametrize(("kind", "synthetic"), [("synthgrid", True), ("grid", False)])
def test_the_build_says_whether_a_run_is_of_synthgrid(
    tmp_path: Path, make_run: Callable[..., Path], kind: str, synthetic: bool
) -> None:
    run = read_run(make_run(tmp_path / "run"))
    assert not of_synthgrid(run), "no build, no answer"
    write_jsonl(tmp_path / "manifest.jsonl", "manifest", [], corpus_kind=kind)
    assert of_synthgrid(run) is synthetic
    assert read_settings([run]).synthgrid is synthetic
