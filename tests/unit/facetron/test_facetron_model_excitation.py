"""Pulses at a pitch, the network that reads the pitch, and the vocoder that shapes both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from facetron_build import PITCH_HZ, make_build

from facetron.checkpoints import checkpoint
from facetron.model import sizes
from facetron.model.excitation import MIDDLE_HZ, Pitch, PitchReader, excitation, pitch_loss
from facetron.model.vocoder import Vocoder
from facetron.train.run import train
from manifests.errors import BadInput
from manifests.io import read_manifest, write_jsonl

RATE_HZ, HOP = 16_000, 320
SOURCE = replace(sizes.SOURCE, channels=16)


def pulses(f0_hz: float, frames: int = 100, voiced: float = 1.0) -> torch.Tensor:
    octaves = torch.full((1, frames), float(np.log2(f0_hz / MIDDLE_HZ)))
    made = excitation(
        octaves, torch.full((1, frames), voiced), torch.zeros(1, frames * HOP), RATE_HZ
    )
    return made[0, 0]


def test_pulses_are_the_sum_of_the_harmonics() -> None:
    f0_hz, samples = 125.0, 100 * HOP  # 128 samples a period
    time = torch.arange(1, samples + 1, dtype=torch.float64) / RATE_HZ
    harmonics = int(0.95 * RATE_HZ / 2 / f0_hz)
    expected = sum(
        torch.cos(2 * torch.pi * k * f0_hz * time) for k in range(1, harmonics + 1)
    ) * np.sqrt(2 / harmonics)
    assert isinstance(expected, torch.Tensor)
    made = pulses(f0_hz)
    assert torch.allclose(made, expected.float(), atol=2e-2 * float(expected.abs().max()))
    assert float(made.square().mean()) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("f0_hz", [60.0, 110.3, 251.7, 590.0])
def test_no_harmonic_folds_back(f0_hz: float) -> None:
    made = pulses(f0_hz).numpy()
    power = np.abs(np.fft.rfft(made * np.hanning(len(made)))) ** 2
    frequency_hz = np.fft.rfftfreq(len(made), 1 / RATE_HZ)
    assert power[frequency_hz > 0.96 * RATE_HZ / 2].sum() < 1e-4 * power.sum()
    nearest = np.abs(frequency_hz - f0_hz * np.maximum(np.round(frequency_hz / f0_hz), 1))
    assert power[nearest > 3].sum() < 1e-3 * power.sum(), "nothing between the harmonics"


def test_unvoiced_frames_have_noise_alone() -> None:
    assert not pulses(120, voiced=0).any()
    noise = torch.randn(1, 20 * HOP)
    made = excitation(torch.zeros(1, 20), torch.zeros(1, 20), noise, RATE_HZ)
    assert torch.equal(made[:, 1], noise)


def test_phase_goes_on_through_a_gliding_pitch() -> None:
    octaves = torch.linspace(-0.5, 0.5, 200)[None]
    made = excitation(octaves, torch.ones(1, 200), torch.zeros(1, 200 * HOP), RATE_HZ)[0, 0]
    peaks = np.flatnonzero((made[1:-1] > made[:-2]) & (made[1:-1] > made[2:]) & (made[1:-1] > 5))
    periods = np.diff(peaks)
    assert (np.abs(np.diff(periods)) <= 2).all(), "no period is cut short"
    assert RATE_HZ / periods[0] == pytest.approx(MIDDLE_HZ * 2**-0.5, rel=0.03)
    assert RATE_HZ / periods[-1] == pytest.approx(MIDDLE_HZ * 2**0.5, rel=0.03)


def test_pitch_is_read_in_single_precision() -> None:
    torch.manual_seed(0)
    reader, mel = PitchReader(80), torch.randn(2, 80, 30)
    alone = reader(mel)
    with torch.autocast("cpu", torch.bfloat16):
        within = reader(mel)
    assert within.octaves.dtype == torch.float32
    assert torch.equal(alone.octaves, within.octaves)
    assert float(reader(1e4 * mel).octaves.detach().abs().max()) <= 2


def test_loss_of_a_pitch() -> None:
    f0_hz = torch.tensor([[150.0, 300.0, np.nan, 0.0]])
    sure = torch.tensor([[50.0, 50.0, -50.0, -50.0]])
    loss, cents = pitch_loss(Pitch(torch.tensor([[0.0, 1.0, 7.0, 7.0]]), sure), f0_hz)
    assert (float(loss), float(cents)) == pytest.approx((0, 0), abs=1e-6)
    loss, cents = pitch_loss(Pitch(torch.tensor([[1.0, 1.0, 7.0, 7.0]]), sure), f0_hz)
    assert (float(loss), float(cents)) == pytest.approx((4 * 0.5, 600))
    loss, cents = pitch_loss(
        Pitch(torch.zeros(1, 4), torch.zeros(1, 4)), torch.full((1, 4), np.nan)
    )
    assert (float(loss), float(cents)) == pytest.approx((np.log(2), 0))


def test_vocoder_speaks_alike_alone_and_in_a_batch() -> None:
    torch.manual_seed(0)
    vocoder, mels = Vocoder(SOURCE).eval(), torch.randn(3, 80, 20)
    with torch.no_grad():
        together = vocoder(mels)
        assert together.shape == (3, 1, 20 * HOP)
        # Cycles are summed: what rounding leaves in a pitch moves the pulses a little.
        assert torch.allclose(vocoder(mels[1:2])[0], together[1], atol=2e-3)
        assert torch.equal(vocoder(mels), together), "its noise is the same every time"
        vocoder.train()
        assert not torch.equal(vocoder(mels), vocoder(mels)), "in training it is not"


def test_pulses_are_what_is_heard() -> None:
    """Another pitch given is another pitch made, whatever the mel."""
    torch.manual_seed(0)
    vocoder, mel = Vocoder(SOURCE).eval(), torch.randn(1, 80, 100)
    for f0_hz in (100.0, 200.0):
        octaves = torch.full((1, 100), float(np.log2(f0_hz / MIDDLE_HZ)))
        with torch.no_grad():
            wave = vocoder(mel, vocoder.excite(mel, Pitch(octaves, torch.full((1, 100), 9.0))))
        sound = wave[0, 0, RATE_HZ // 2 : RATE_HZ].numpy()
        ahead = np.correlate(sound, sound, "full")[len(sound) - 1 :]
        lags = np.arange(RATE_HZ // 350, RATE_HZ // 60)
        assert lags[np.argmax(ahead[lags])] in (RATE_HZ / f0_hz, 2 * RATE_HZ / f0_hz)


def test_a_source_needs_an_inverse_stft() -> None:
    with pytest.raises(BadInput, match=r"source=harmonic needs .*istft_hop"):
        sizes.VocoderConfig(source="harmonic")


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """With the pitch of each hum, as `gridprep build` stores it."""
    root = make_build(tmp_path / "build", clips=4)
    header, rows = read_manifest(root)
    pitched = []
    for row in rows:
        path = f"prosody/{row.speaker}/{row.stem}.npz"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        f0_hz = np.full(row.mel_frames, PITCH_HZ[row.speaker], np.float32)
        f0_hz[:10] = np.nan
        np.savez(root / path, f0_hz=f0_hz, voiced=np.isfinite(f0_hz), energy=f0_hz)
        pitched.append(replace(row, paths={**row.paths, "prosody": path}))
    write_jsonl(
        root / "manifest.jsonl", "manifest", pitched, split=header["split"], held_out_speakers=[]
    )
    return root


SETS = (
    "vocoder.rates=[4]", "vocoder.kernels=[8]", "vocoder.istft_hop=80", "vocoder.source=harmonic",
    "loss.adversarial=0", "loss.features=0", "loss.mel=2", "loss.spectra=1",
    "train.batch_size=3", "train.learning_rate=0.002", "train.epochs=20",
)  # fmt: skip


def test_the_stage_teaches_pitch_and_sound(build: Path, tmp_path: Path) -> None:
    best = train("vocoder", build, tmp_path / "out", "debug", sets=SETS)
    history = checkpoint.read_info(tmp_path / "out" / "last.safetensors").history
    assert history[-1]["train_vocoder_pitch_cents"] < history[0]["train_vocoder_pitch_cents"] / 2
    assert history[-1]["val_vocoder_mel"] < history[0]["val_vocoder_mel"]
    assert checkpoint.read_info(best).model_config().vocoder.source == "harmonic"


def test_the_joint_stage_needs_no_critics(build: Path, tmp_path: Path) -> None:
    own = (*SETS, "train.epochs=1", "train.lip_variants=1")
    found: list[Path] = []
    for stage in ("lip", "prosody", "face", "decoder", "vocoder"):
        found.append(train(stage, build, tmp_path / stage, "debug", sets=own, sources=found))
    best = train(
        "joint", build, tmp_path / "joint", "debug", sets=(*own, "train.epochs=6"), sources=found
    )
    info = checkpoint.read_info(best)
    assert set(info.parts) == {"lip", "face", "prosody", "decoder", "vocoder"}
    assert info.history[-1]["train_decoder_mel"] < info.history[0]["train_decoder_mel"]
    assert "train_vocoder_pitch_cents" in info.history[0]


def test_features_without_pitch_are_named(build: Path, tmp_path: Path) -> None:
    path = next((build / "prosody").rglob("*.npz"))
    short = np.zeros(3, np.float32)
    np.savez(path, f0_hz=short, voiced=short > 0, energy=short)
    with pytest.raises(BadInput, match=r"holds a pitch of \(3,\), not of 150 frames"):
        train("vocoder", build, tmp_path / "a", "debug", sets=SETS)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match=r"npz cannot be read .*build` again"):
        train("vocoder", build, tmp_path / "b", "debug", sets=SETS)
