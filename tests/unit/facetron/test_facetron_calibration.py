"""`facetron calibrate`: what is measured on held-out clips, and where it is told afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from facetron_build import make_build
from facetron_trained import make_checkpoint

from facetron import calibration
from facetron.checkpoints import checkpoint
from facetron.commands.calibrate import calibrate as command
from facetron.synthesis.confidence import Calibration, store, stored
from facetron.synthesis.run import SynthesisOptions, synthesize
from manifests.errors import BadInput, ManifestError
from manifests.io import read_json, read_manifest, sha256_file, write_json, write_jsonl
from manifests.manifest import Manifest
from manifests.runs import read_run

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers with two training clips, one of val and one of test each."""
    root = make_build(tmp_path_factory.mktemp("build"), validation=2, held_out=())
    header, rows = read_manifest(root)
    last = {row.speaker: row.stem for row in rows}
    rows = [replace(r, subset="test") if r.stem == last[r.speaker] else r for r in rows]
    write_jsonl(root / "manifest.jsonl", "manifest", rows, split=header["split"])
    return root


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "debug.safetensors", ("s3", "s5"))


def test_what_is_measured_is_stored_and_told(build: Path, weights: Path, tmp_path: Path) -> None:
    before = weights.read_bytes()
    result = CliRunner().invoke(
        command, [str(weights), "--manifest", str(build), "--device", "cpu"]
    )
    assert result.exit_code == 0, result.output
    assert "taken for GRID speech" in result.output
    assert result.output.rstrip().endswith(f"stored in {weights.with_suffix('.json')}")
    assert weights.read_bytes() == before
    found = stored(weights, sha256_file(weights))
    assert found is not None
    assert (found.clips, found.subset, len(found.word_weights)) == (2, "test", 3)
    assert set(found.rejected) == {"backwards", "words out of order", "runs of frames", "silence"}
    assert set(found.voices) == {"s3", "s5"}
    assert all(-1 <= x <= 1 for voice in found.voices.values() for x in voice)
    assert sum(b.words for b in found.reliability) == found.words

    out = tmp_path / "run"
    report = synthesize(SynthesisOptions(build, str(weights), out, subset="test", device="cpu"))
    clips = read_run(out)[1]
    assert report.confidence == pytest.approx(np.mean([clip.confidence for clip in clips]))
    assert report.foreign == tuple(clip.clip_id for clip in clips if clip.in_domain is False)
    again = synthesize(SynthesisOptions(build, str(weights), out, subset="test", device="cpu"))
    assert again.kept == 2
    assert read_run(out)[1] == clips
    # The threshold is no part of the weights: another one judges the same speech anew.
    store(replace(found, threshold=1.0), weights)
    third = synthesize(SynthesisOptions(build, str(weights), out, subset="test", device="cpu"))
    assert (third.kept, len(third.foreign)) == (0, 2)


def test_a_calibration_is_bound_to_its_weights(weights: Path, tmp_path: Path) -> None:
    described, sha256 = weights.with_suffix(".json"), sha256_file(weights)
    assert stored(weights, sha256) is None
    measured = Calibration((1.0, 2.0, 3.0), -0.1, 0.97, {"silence": 1.0}, 2, 9, "test")
    store(measured, weights)
    assert stored(weights, sha256) == measured
    info = checkpoint.read_info(weights)
    assert checkpoint.CheckpointInfo.from_dict(read_json(described)) == info
    write_json(described, {**read_json(described), "note": "kept"})
    store(replace(measured, threshold=-0.2), weights)
    assert read_json(described)["note"] == "kept"
    make_checkpoint(weights, seed=1)
    with pytest.raises(BadInput, match=r"debug\.json holds the calibration of other weights"):
        stored(weights, sha256_file(weights))
    checkpoint.save(weights, checkpoint.load(weights)[1], info)  # describes its weights anew
    assert stored(weights, sha256_file(weights)) is None
    for text in ("[1]", '{"calibration": 3}', "{"):
        described.write_text(text, encoding="utf-8")
        with pytest.raises(ManifestError, match=r"debug\.json"):
            stored(weights, sha256)
        with pytest.raises(ManifestError, match=r"debug\.json"):
            store(measured, weights)


def test_lips_that_do_not_speak_grid(build: Path) -> None:
    row = Manifest(build)[0]
    lips = row.lips()
    made = dict(calibration.other_lips(row, lips, np.random.default_rng(0)))
    assert {len(other) for other in made.values()} == {len(lips)}
    assert np.array_equal(made["backwards"][::-1], lips)
    pause = row.words[0].start_frame
    first = {frame.tobytes() for frame in lips[:pause]}
    assert {frame.tobytes() for frame in made["silence"]} <= first
    first_word = lips[pause : row.words[0].end_frame]
    assert not np.array_equal(
        made["words out of order"][pause : pause + len(first_word)], first_word
    )


def test_training_clips_calibrate_nothing(build: Path, weights: Path) -> None:
    with pytest.raises(BadInput, match="training clips"):
        calibration.calibrate(weights, build, fit="train")


def test_a_build_without_held_out_clips(weights: Path, tmp_path: Path) -> None:
    build = make_build(tmp_path / "build", validation=1, held_out=())
    with pytest.raises(BadInput, match="no clips in test"):
        calibration.calibrate(weights, build)


def test_a_regression_finds_the_odds_it_was_drawn_with() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([np.ones(4000), rng.normal(size=4000), rng.normal(size=4000)], axis=1)
    truth = np.array([0.5, 2.0, -1.0])
    y = rng.random(4000) < 1 / (1 + np.exp(-x @ truth))
    assert calibration._logistic_regression(x, y) == pytest.approx(truth, abs=0.15)


def test_the_limit_loses_as_much_as_it_lets_through() -> None:
    def divided(grid: list[float], *others: list[float]) -> list[float]:
        limit = calibration.equal_error(grid, others)
        kept = float(np.mean(np.array(grid) >= limit))
        return [kept, *(float(np.mean(np.array(kind) < limit)) for kind in others)]

    # One clip that is hardly read does not make the limit lenient, as its quantile would.
    rng = np.random.default_rng(0)
    grid = [-2.0, *(-np.exp(rng.normal(-4, 0.5, 49)))]
    near, far = (-np.exp(rng.normal(mean, 0.5, 50)) for mean in (-1.5, 1.0))
    assert divided(grid, list(near), list(far)) == pytest.approx([0.98, 1, 1], abs=0.021)
    # Nor do clips that are all read well make it strict: it lies in the middle of what is between.
    assert calibration.equal_error([-0.01, -0.01], [[-1.0], [-4.0]]) == pytest.approx(-0.1)
    # Where the two overlap, both sides pay alike, by the kind that is the worst.
    grid, near = list(-np.exp(rng.normal(-2, 1, 400))), list(-np.exp(rng.normal(0, 1, 400)))
    kept, rejected, easy = divided(grid, near, [-20.0] * 5)
    assert kept == pytest.approx(rejected, abs=0.01)
    assert kept == pytest.approx(0.841, abs=0.03)  # one standard deviation
    assert easy == 1
