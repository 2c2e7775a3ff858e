"""GE2E: equal to Resemblyzer on a fixed wave, and what is heard of a sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from manifests import ge2e
from manifests.errors import BadInput, MissingDependency

RATE_HZ = ge2e.RATE_HZ


@pytest.fixture(scope="module")
def network() -> ge2e.Ge2e:
    try:
        return ge2e.load_ge2e()
    except MissingDependency as error:
        pytest.skip(str(error))


def tone(n: int = 48_000) -> NDArray[np.float64]:
    """A buzz of 140 Hz that swells and fades, in which no two libraries differ."""
    time_s = np.arange(n) / RATE_HZ
    buzz = np.sign(np.sin(2 * np.pi * 140 * time_s))
    return np.asarray(0.02 * buzz * np.sin(2 * np.pi * 1.5 * time_s) ** 2)


@pytest.mark.parametrize(
    ("n", "largest", "total", "positive"),
    [
        # Of resemblyzer 0.1.4: embed_utterance(normalize_volume(wave, -30, increase_only=True)).
        (48_000, {175: 0.193549, 87: 0.193291, 235: 0.183758, 176: 0.178558}, 10.063736, 154),
        (8_000, {20: 0.289724, 62: 0.214434, 0: 0.210039, 9: 0.205169}, 8.810423, 117),
    ],
)
def test_embeddings_are_those_of_the_original(
    network: ge2e.Ge2e, n: int, largest: dict[int, float], total: float, positive: int
) -> None:
    found = ge2e.embed(tone(n), RATE_HZ, trim=False)
    assert found.shape == (ge2e.SIZE,)
    assert {k: round(float(found[k]), 5) for k in np.argsort(-found)[:4]} == {
        k: pytest.approx(value, abs=2e-5) for k, value in largest.items()
    }
    assert found.sum() == pytest.approx(total, abs=1e-4)
    assert (found > 0).sum() == positive


def test_network_and_mels_are_those_of_the_original(network: ge2e.Ge2e) -> None:
    random = np.random.default_rng(0).random((2, 160, 40))
    mels = torch.from_numpy((0.001 * random).astype(np.float32))
    assert network(mels).sum(dim=1).numpy() == pytest.approx([9.300433, 9.330795], abs=1e-5)

    librosa = pytest.importorskip("librosa")
    wave = tone(16_000)
    theirs = librosa.feature.melspectrogram(
        y=wave, sr=RATE_HZ, n_fft=400, hop_length=160, n_mels=40
    )
    assert np.allclose(ge2e.mel_of(wave), theirs.T, rtol=1e-4, atol=1e-9)


def test_gradients_reach_every_frame() -> None:
    mels = torch.rand(2, 20, ge2e.MELS, requires_grad=True)
    # The Jacobian's first row and not the sum of squares, which is 1 for every input.
    ge2e.Ge2e()(mels)[:, :8].sum().backward()
    assert mels.grad is not None
    assert bool((mels.grad.abs().sum(dim=-1) > 0).all())


def test_frozen_network_lets_gradients_of_its_input_pass(network: ge2e.Ge2e) -> None:
    mels = (0.001 * torch.rand(1, 160, ge2e.MELS)).requires_grad_()
    network(mels).max().backward()
    assert mels.grad is not None
    assert float(mels.grad.abs().max()) > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_batches_do_not_change_embeddings(network: ge2e.Ge2e) -> None:
    voices = [ge2e.voice_of(tone(n), RATE_HZ) for n in (8_000, 60_000, 30_000)]
    together = ge2e.embed_voices(voices, network)
    alone = np.concatenate([ge2e.embed_voices([voice], network) for voice in voices])
    assert np.allclose(together, alone, atol=1e-6)
    assert np.allclose(np.linalg.norm(together, axis=1), 1)


@pytest.mark.parametrize(
    ("n", "starts"),
    # compute_partial_slices(n, rate=1.3, min_coverage=0.75) of the original.
    [
        (1, [0]), (8_000, [0]), (24_960, [0]), (31_000, [0]), (31_520, [0, 77]),
        (48_000, [0, 77, 154]), (960_000, list(range(0, 5_853, 77))),
    ],
)  # fmt: skip
def test_pieces_are_those_of_the_original(n: int, starts: list[int]) -> None:
    assert ge2e.partials(n) == starts


def test_long_pauses_go_and_short_ones_stay() -> None:
    rng = np.random.default_rng(0)
    speech = 0.1 * rng.standard_normal(16_000)
    room = 0.0005 * rng.standard_normal(32_000)
    long = np.concatenate([speech, room, speech])
    kept = ge2e.without_pauses(long)
    assert 32_000 <= len(kept) <= 32_000 + 16 * ge2e.STRETCH_SAMPLES
    short = np.concatenate([speech, room[:1_600], speech])
    assert len(ge2e.without_pauses(short)) == len(short) // 480 * 480
    assert len(ge2e.without_pauses(np.zeros(48_000))) == 0
    assert len(ge2e.without_pauses(speech[:100])) == 0


def test_level_is_raised_and_never_lowered() -> None:
    loud, quiet = 10 * tone(), tone() / 10
    assert ge2e.leveled(loud) is loud
    rms = np.sqrt(np.mean(ge2e.leveled(quiet) ** 2))
    assert 20 * np.log10(rms) == pytest.approx(ge2e.LEVEL_DBFS)
    assert not ge2e.leveled(np.zeros(10)).any()


def test_silence_and_other_rates_have_finite_embeddings(network: ge2e.Ge2e) -> None:
    silent = ge2e.voice_of(np.zeros(48_000), RATE_HZ)
    assert silent.speech_s == 0
    assert np.isfinite(ge2e.embed_voices([silent], network)).all()
    at_8k = ge2e.voice_of(tone()[::2], 8_000)
    assert at_8k.speech_s == pytest.approx(ge2e.voice_of(tone(), RATE_HZ).speech_s, abs=0.07)


def test_what_is_no_wave_is_refused() -> None:
    for wave in (np.zeros((2, 100)), np.full(100, np.nan)):
        with pytest.raises(BadInput, match="finite mono samples"):
            ge2e.voice_of(wave, RATE_HZ)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "facetron-toolkit" / "models" / ge2e.WEIGHTS.name
    cached.parent.mkdir(parents=True)
    torch.save({"model_state": ge2e.Ge2e().state_dict()}, cached)
    with pytest.raises(BadInput, match="damaged or another version"):
        ge2e.load_ge2e()
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(BadInput, match="does not hold the weights of GE2E"):
        ge2e.load_ge2e(tmp_path / "text.pt")
