"""NISQA-TTS without its weights: the network's shape, its features, and what is refused. The golden
values are in `tests/real/test_real_nisqa.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics import naturalness
from evaluation.metrics.base import get_metric, select
from evaluation.models import nisqa
from evaluation.models.nisqa import NisqaTts, TooShort, load_nisqa, mel_db, segments
from evaluation.models.weights import weights_sha256
from evaluation.reporting.run import build_report
from evaluation.reporting.tables import TableOptions
from evaluation.scoring.run import score_runs
from manifests.errors import BadInput, MissingDependency


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the official form with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.tar"
    torch.save({"args": {}, "model_state_dict": NisqaTts().state_dict()}, path)
    return path


def test_the_network_has_the_official_shape() -> None:
    network = NisqaTts()
    assert sum(p.numel() for p in network.parameters()) == 303_925
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 54
    assert shapes["cnn.model.conv4.weight"] == (64, 64, 3, 3)
    assert shapes["cnn.model.fc_out.weight"] == (20, 768)
    assert shapes["time_dependency.model.lstm.weight_ih_l0_reverse"] == (512, 20)
    assert shapes["pool.model.linear.weight"] == (1, 256)


def test_the_last_step_of_both_directions_decides() -> None:
    network = NisqaTts().eval()
    x = torch.randn(9, 1, 48, 15)
    with torch.inference_mode():
        features = network.get_submodule("cnn.model")(x)
        _, (last, _) = network.get_submodule("time_dependency.model.lstm")(features)
        expected = network.get_submodule("pool.model.linear")(last.reshape(-1))
        assert network(x).item() == pytest.approx(expected.item(), abs=1e-6)
        assert network(x.flip(0)).item() != pytest.approx(expected.item(), abs=1e-6)


def test_segments_are_all_runs_of_fifteen_frames() -> None:
    mel = np.random.default_rng(0).normal(size=(48, 40)).astype(np.float32)
    cut = segments(mel)
    assert cut.shape == (26, 1, 48, 15)
    for i in (0, 7, 25):
        np.testing.assert_array_equal(cut[i, 0].numpy(), mel[:, i : i + 15])
    assert len(segments(mel[:, :15])) == 1
    with pytest.raises(TooShort):
        segments(mel[:, :14])
    with pytest.raises(ValueError, match="6000"):
        segments(np.zeros((48, 6015), np.float32))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
def test_features_follow_the_rate_of_the_file(rate_hz: int) -> None:
    t = np.arange(rate_hz) / rate_hz
    mel = mel_db(0.5 * np.sin(2 * np.pi * 1000 * t), rate_hz)
    assert mel.shape == (48, 1 + rate_hz // int(0.01 * rate_hz))
    assert mel.max() - mel.min() <= 80
    middle = mel[:, 50]
    # 48 Slaney bands up to 8 kHz: their scale is linear up to 1 kHz (15 of its 45.2 units), where
    # band centers lie 0.92 units apart.
    assert abs(int(middle.argmax()) - (15 / (45.245 / 49) - 1)) <= 1


def test_loading_is_strict(tmp_path: Path, weights: Path) -> None:
    assert not load_nisqa(weights).training
    state = NisqaTts().state_dict()
    state.pop("pool.model.linear.bias")
    torch.save({"model_state_dict": state}, tmp_path / "less.tar")
    torch.save(
        {"model_state_dict": {**NisqaTts().state_dict(), "x": torch.ones(1)}}, tmp_path / "more.tar"
    )
    torch.save([1, 2], tmp_path / "list.tar")
    torch.save({"model_state_dict": None}, tmp_path / "none.tar")
    (tmp_path / "text.tar").write_text("no checkpoint")
    (tmp_path / "empty.tar").touch()
    for name in ("less", "more", "list", "none", "text", "empty", "gone"):
        with pytest.raises(BadInput, match=rf"{name}\.tar is no checkpoint of NISQA-TTS"):
            load_nisqa(tmp_path / f"{name}.tar")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("evil-was-here", "w"))  # type: ignore[return-value]


def test_checkpoints_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model_state_dict": Evil()}, tmp_path / "evil.tar")
    with pytest.raises(BadInput):
        load_nisqa(tmp_path / "evil.tar")
    assert not (tmp_path / "evil-was-here").exists()


def test_one_line_where_the_weights_are_absent(tmp_path: Path, weights: Path) -> None:
    for path, message in (
        (None, "nisqa_tts needs its weights"),
        (tmp_path / "gone.tar", "gone.tar is no file"),
        (weights, "is not the official checkpoint"),
    ):
        metrics, absent = select(["nisqa_tts"], Settings(nisqa_weights=path))
        assert metrics == []
        assert len(absent) == 1
        assert message in absent[0]
        assert "--nisqa-weights" in absent[0]
    assert "nisqa_tts" not in {m.info.name for m in select(None)[0]}


def test_other_weights_are_accepted_and_told(
    tmp_path: Path, weights: Path, make_run: Callable[..., Path]
) -> None:
    settings = Settings(nisqa_weights=weights, any_nisqa_weights=True)
    assert "nisqa_tts" in {m.info.name for m in select(None, settings)[0]}
    metrics, absent = select(["nisqa_tts"], settings)
    assert absent == []
    root = make_run(tmp_path / "run", change=lambda s, i: 0 * s if i == 0 else 0.1 * s)
    soundfile.write(root / "wavs" / "s1_lgbf6s.wav", np.tile(np.hanning(441), 100), 44_100)
    scored = score_runs([read_run(root)], metrics, progress=False)[0]
    silent = scored.scores["s1/bbaf2n", "nisqa_tts"]
    assert (silent.status, silent.reason.split(":")[0]) == ("failed", "silent")
    assert scored.scores["s1/bbaf2n", "nisqa_tts_floor"].status == "ok"
    other = scored.scores["s1/lgbf6s", "nisqa_tts"]
    assert other.details["rate_hz"] == 44_100, "scored at its own rate"
    assert other.parameters == {
        "weights_sha256": weights_sha256(weights),
        "source": weights_sha256(weights),
        "official": False,
    }
    quiet = scored.scores["s2/bbaf2n", "nisqa_tts"]
    loud = scored.scores["s2/bbaf2n", "nisqa_tts_floor"]
    assert quiet.details["level_dbfs"] == pytest.approx(loud.details["level_dbfs"] - 20, abs=0.1)
    assert quiet.value != loud.value, "nothing is normalized"
    remarks = " ".join(build_report([scored], metrics, TableOptions()).tables[0].remarks)
    assert "weights that are not the official ones" in remarks
    assert "On the recordings of the same clips: NISQA-TTS" in remarks


def test_official_weights_are_known_by_their_hash(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naturalness, "OFFICIAL_SHA256", weights_sha256(weights))
    metric = get_metric("nisqa_tts", Settings(nisqa_weights=weights))
    metric.require()
    assert "official" not in metric.info.parameters
    assert metric.info.note == ""


def test_too_short_and_too_long_are_failures(
    tmp_path: Path, weights: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nisqa, "MAX_SEGMENTS", 50)
    root = make_run(tmp_path / "run", speakers=("s1",))
    soundfile.write(root / "wavs" / "s1_bbaf2n.wav", np.full(2000, 0.1), 16_000)
    metric = get_metric("nisqa_tts", Settings(nisqa_weights=weights, any_nisqa_weights=True))
    scored = score_runs([read_run(root)], [metric], progress=False)[0]
    assert [s.reason.split(":")[0] for s in scored.scores.values()] == ["too_short", "too_long"]


def test_option_and_environment(
    tmp_path: Path, weights: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_run(tmp_path / "run", speakers=("s1",))
    arguments = ["score", str(root), "--metrics", "nisqa_tts,level_dbfs", "--jobs", "0"]
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert result.return_value == MissingDependency.exit_code
    assert result.output.count("nisqa_tts needs its weights") == 1
    assert "2 ok, 0 failed" in result.output, "the others go on"
    monkeypatch.setenv("FACETRON_NISQA_WEIGHTS", str(weights))
    result = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert "is not the official checkpoint" in result.output
    result = CliRunner().invoke(cli, [*arguments, "--any-nisqa-weights"], standalone_mode=False)
    assert result.return_value == 0, result.output
    assert "6 ok, 0 failed" in result.output
