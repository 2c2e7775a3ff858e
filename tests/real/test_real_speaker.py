"""Speaker and gender of published systems' speech and of the recordings, by the shipped networks."""

import dataclasses
import os
from pathlib import Path

import pytest

from evaluation.inputs.pairs import read_run
from evaluation.metrics.base import get_metric
from evaluation.reporting.tables import TableOptions, system_rows
from evaluation.scoring.run import ScoredRun, score_runs
from manifests.io import write_json, write_jsonl
from manifests.records import RunClip, RunInfo

DATA = Path(
    os.environ.get("GRIDPREP_REAL_DATA", Path(__file__).parents[3] / "shared" / "data" / "grid")
)
SYSTEMS = DATA.parent / "systems" / "visual-voice-memory"
VOICE = ("speaker_similarity", "speaker_accuracy", "speaker_eer", "gender_agreement")
WOMEN = ("s4", "s29")

pytestmark = pytest.mark.skipif(not SYSTEMS.is_dir(), reason=f"{SYSTEMS} is not there")


def scored(root: Path, file: str, names: tuple[str, ...], turn: int = 0) -> ScoredRun:
    """Eight clips of four speakers; `turn` gives each clip the speech of another one."""
    folders = sorted(folder for folder in SYSTEMS.iterdir() if folder.is_dir())
    clips = []
    for i, folder in enumerate(folders):
        speaker, stem = folder.name.split("_")
        spoken = folders[(i + turn) % len(folders)] / f"{file}.wav"
        gender = "female" if speaker in WOMEN else "male"
        real = str(folder / "ground_truth.wav")
        clips.append(RunClip(speaker, stem, "", gender, str(spoken), real))
    write_jsonl(root / "clips.jsonl", "run-clips", clips)
    info = RunInfo(f"{file} {turn}", "model", "small", "test", 16_000, len(clips))
    write_json(root / "run.json", dataclasses.asdict(info))
    metrics = [get_metric(name) for name in names]
    return score_runs([read_run(root)], metrics, progress=False)[0]


def means(item: ScoredRun, names: tuple[str, ...]) -> dict[str, float]:
    row = system_rows([item], [get_metric(name) for name in names], TableOptions(n_resamples=50))[0]
    found = {name: cell.mean for name, cell in zip(names, row.cells, strict=True)}
    assert None not in found.values()
    return {name: float(value or 0) for name, value in found.items()}


def test_recordings_at_the_top_turned_voices_at_the_bottom(tmp_path: Path) -> None:
    """Speakers that no network here has heard, each known by one other clip."""
    real = means(scored(tmp_path / "real", "ground_truth", VOICE), VOICE)
    assert real["speaker_accuracy"] >= 75
    assert real["speaker_eer"] <= 17
    assert real["gender_agreement"] == 100
    wavenet = means(scored(tmp_path / "wavenet", "ours_wavenet", VOICE), VOICE)
    assert wavenet["speaker_accuracy"] >= 75
    assert wavenet["gender_agreement"] == 100
    told = VOICE[:3]
    turned = means(scored(tmp_path / "turned", "ground_truth", told, turn=2), told)
    assert turned["speaker_accuracy"] <= 25
    assert turned["speaker_eer"] > real["speaker_eer"] + 15
    assert turned["speaker_similarity"] < real["speaker_similarity"] - 0.3
