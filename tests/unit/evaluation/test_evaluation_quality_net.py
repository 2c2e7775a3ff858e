"""The metric `quality`: its network with the weights that are shipped, and what it refuses."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from evaluation.cli import cli
from evaluation.inputs.pairs import read_run
from evaluation.metrics import quality_net as metric_module
from evaluation.metrics.base import get_metric, select
from evaluation.models import quality_net
from evaluation.models.quality_net import WEIGHTS, LengthUnfit, QualityNet, load_quality_net
from evaluation.models.quality_net_features import MEL, levelled_mel, segments
from evaluation.models.shipped import card_of, open_shipped, save_shipped
from evaluation.models.weights import weights_sha256
from evaluation.scoring.run import score_runs
from manifests.errors import BadInput, MissingDependency

RATE_HZ = 16_000
Make = Callable[..., NDArray[np.float64]]


@pytest.fixture(scope="module")
def network() -> QualityNet:
    return load_quality_net()


def test_the_shipped_file_is_small_and_states_what_it_is() -> None:
    assert WEIGHTS.stat().st_size < 2_000_000
    shipped = open_shipped(WEIGHTS)
    assert shipped.metadata["predicts"] == "PESQ wb MOS-LQO without a reference"
    assert shipped.card["held_out_speakers"] == ["s1", "s2", "s4", "s29"]
    for left_out in ("speakers", "families", "both"):
        assert shipped.card["results"][left_out]["all"]["pearson"] >= 0.85, left_out
    assert WEIGHTS.with_suffix(".md").is_file()


def test_the_network_has_its_shape(network: QualityNet) -> None:
    assert sum(p.numel() for p in network.parameters()) == 178_754
    assert not network.training
    mels = torch.randn(3, 48, 90, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = network(mels)
        alone = torch.cat([network(mel.unsqueeze(0)) for mel in mels])
        extreme = network(torch.cat([mels * 50, mels * -50]))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    assert ((extreme >= 1.0) & (extreme <= 4.65)).all()


def test_segments_overlap_by_half() -> None:
    mel = torch.arange(48 * 40, dtype=torch.float32).reshape(48, 40)
    cut = segments(mel)
    assert cut.shape == (4, 48, 16)
    for i in range(4):
        assert torch.equal(cut[i], mel[:, 8 * i : 8 * i + 16])


def test_features_do_not_hinge_on_level(make_sound: Make) -> None:
    sound = make_sound(1)
    mel, level_dbov = levelled_mel(sound)
    assert mel.shape == (48, MEL.frames(len(sound)))
    for gain_db in (-20, -10, 10):
        other, other_dbov = levelled_mel(sound * 10 ** (gain_db / 20))
        assert other_dbov - level_dbov == pytest.approx(gain_db, abs=0.05)
        np.testing.assert_allclose(other, mel, atol=0.004)
    with pytest.raises(ValueError, match="silence"):
        levelled_mel(np.zeros(RATE_HZ))
    click = np.zeros(RATE_HZ)
    click[8000] = 0.9
    assert np.isfinite(levelled_mel(click)[0]).all()


def test_level_is_normalized_and_length_is_bounded(
    network: QualityNet, make_sound: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = make_sound(2)
    value, level_dbov = network.quality(sound)
    for gain_db in (-10, 10):
        other = sound * 10 ** (gain_db / 20) * 0.3
        again, its_dbov = network.quality(other)
        assert again == pytest.approx(value, abs=0.01)
        # A 16-bit file of that level holds fewer bits of it.
        assert network.quality(np.round(other * 32768) / 32768)[0] == pytest.approx(value, abs=0.15)
        assert its_dbov == pytest.approx(level_dbov + gain_db + 20 * np.log10(0.3), abs=0.1)
    with pytest.raises(LengthUnfit) as short:
        network.quality(sound[:2000])
    assert short.value.reason == "too_short"
    monkeypatch.setattr(quality_net, "MAX_FRAMES", 100)
    with pytest.raises(LengthUnfit) as long:
        network.quality(sound)
    assert long.value.reason == "too_long"


def test_noise_is_at_the_bottom_and_more_of_it_is_worse(
    network: QualityNet, make_sound: Make
) -> None:
    rng = np.random.default_rng(0)
    white = rng.standard_normal(3 * RATE_HZ)
    assert network.quality(0.1 * white)[0] < 1.3
    assert network.quality(1e-3 * white)[0] < 1.3
    sound = make_sound(3)
    values = [
        network.quality(sound + 10 ** (-snr_db / 20) * sound.std() * white)[0]
        for snr_db in (40, 25, 15, 5, -5)
    ]
    assert values == sorted(values, reverse=True), values
    assert values[0] - values[-1] > 1


def test_it_is_computed_by_default(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pesq", None)  # importing it would fail
    names = [m.info.name for m in select(None)[0]]
    assert "degradation_index" in names
    assert "degradation_index_floor" in names
    root = make_run(tmp_path / "run", change=lambda s, i: 0 * s if i == 0 else 0.1 * s)
    wavs = root / "wavs"
    sound, _ = soundfile.read(wavs / "s1_lgbf6s.wav")
    soundfile.write(wavs / "s1_lgbf6s.wav", np.repeat(sound, 3), 48_000)
    soundfile.write(wavs / "s2_lgbf6s.wav", sound[:2000], RATE_HZ)
    scored = score_runs([read_run(root)], select(["degradation_index"])[0], progress=False)[0]
    silent = scored.scores["s1/bbaf2n", "degradation_index"]
    assert (silent.status, silent.reason.split(":")[0]) == ("failed", "silent")
    short = scored.scores["s2/lgbf6s", "degradation_index"]
    assert (short.status, short.reason.split(":")[0]) == ("failed", "too_short")
    assert scored.scores["s1/lgbf6s", "degradation_index"].details["rate_hz"] == 48_000
    quiet = scored.scores["s2/bbaf2n", "degradation_index"]
    loud = scored.scores["s2/bbaf2n", "degradation_index_floor"]
    assert quiet.value == pytest.approx(loud.value, abs=0.1)
    for key in ("level_dbfs", "active_level_dbov"):
        assert quiet.details[key] == pytest.approx(loud.details[key] - 20, abs=0.2)
    assert quiet.parameters == {
        "weights_sha256": weights_sha256(WEIGHTS),
        "sample_rate_hz": RATE_HZ,
    }


def test_weights_of_another_hash_cost_only_this_metric(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "quality.safetensors"
    shutil.copy(card_of(WEIGHTS), card_of(copy))
    monkeypatch.setattr(metric_module, "WEIGHTS", copy)
    root = make_run(tmp_path / "run", speakers=("s1",))
    arguments = ["score", str(root), "--metrics", "degradation_index,level_dbfs", "--jobs", "0"]
    for content, message in ((None, "does not exist"), (b"other", "is not the file of its card")):
        if content is not None:
            copy.write_bytes(WEIGHTS.read_bytes() + content)
        result = CliRunner().invoke(cli, arguments, standalone_mode=False)
        assert result.return_value == MissingDependency.exit_code
        assert f"degradation_index: {copy} {message}" in result.output
        assert "2 ok, 0 failed" in result.output, "the others go on"
    # Replaced after it was looked at: a failed score, not the end.
    score = get_metric("degradation_index").score
    run = read_run(root)
    from evaluation.inputs.pairs import Pair, Recording

    found = score(Pair(run.clips[0], Recording(run.wav(run.clips[0])), None))
    assert found.status == "failed"
    assert found.reason.startswith("weights: ")


def test_weights_of_another_network_or_mel_are_refused(tmp_path: Path) -> None:
    about = {"mel": MEL.fingerprint()}
    good = dict(open_shipped(WEIGHTS).tensors)
    less = {name: value for name, value in good.items() if name != "out.bias"}
    save_shipped(tmp_path / "less.safetensors", less, about, {})
    with pytest.raises(BadInput, match="holds no quality network"):
        load_quality_net(tmp_path / "less.safetensors")
    save_shipped(tmp_path / "mel.safetensors", good, {"mel": "0"}, {})
    with pytest.raises(BadInput, match="another mel"):
        load_quality_net(tmp_path / "mel.safetensors")
    save_shipped(tmp_path / "good.safetensors", good, about, {})
    assert load_quality_net(tmp_path / "good.safetensors")
