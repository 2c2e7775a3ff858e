"""Losses of padded batches are the mean of the clips' own, whatever a clip is padded with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from facetron.baselines import gan, lip2wav, vcvts, voc
from facetron.model.config import ModelConfig
from facetron.model.ctc import CLASSES
from facetron.model.sizes import model_config
from facetron.train.config import TrainConfig
from facetron.train.dataset import Batch, collate
from facetron.train.decoder import DecoderStage
from facetron.train.face import FaceStage
from facetron.train.joint import JointStage
from facetron.train.lengths import LENGTHS, mel_lengths
from facetron.train.prosody import ProsodyStage
from facetron.train.stage import FacetronStage
from facetron.train.vocoder import VocoderStage

FRAMES = (96, 128, 96, 64)
"""Mel frames of the clips of a batch."""


def config() -> ModelConfig:
    return model_config("debug", sets=["loss.spectra=1", "mel_discriminator.perceptual=true"])


def clip(frames: int, seed: int, spec_mels: int, hop: int) -> tuple[Batch, Batch]:
    """(a clip's targets, what is made of it), without the batch axis."""
    random = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=random)

    f0_hz = 100 + 100 * noise(frames)
    f0_hz[: frames // 3] = float("nan")
    target: Batch = {
        "speaker": f"s{seed}",
        "clip": f"s{seed}/x",
        "mel": noise(spec_mels, frames) - 4,
        "words": torch.zeros(frames // 2, dtype=torch.int64),
        "wave": noise(1, frames * hop) - 0.5,
        "wave_mel": noise(spec_mels, frames) - 4,
        "wave_start": torch.tensor(0),
        "wave_f0_hz": f0_hz,
    }
    made: Batch = {
        "mel": noise(spec_mels, frames) - 4,
        "wave": noise(1, frames * hop) - 0.5,
        "octaves": noise(frames),
        "voicing": noise(frames) - 0.5,
        "face": noise(6),
        "prosody": noise(6),
    }
    return target, made


def padded(values: list[Tensor], fill: float) -> Tensor:
    longest = max(value.shape[-1] for value in values)
    return torch.stack(
        [torch.nn.functional.pad(v, (0, longest - v.shape[-1]), value=fill) for v in values]
    )


def batch_of(
    clips: list[tuple[Batch, Batch]], fill: float = 0.0
) -> tuple[Batch, dict[str, Tensor]]:
    made = {name: padded([m[name] for _, m in clips], fill) for name in clips[0][1]}
    return collate([target for target, _ in clips]), made


def losses(
    stage: FacetronStage, clips: list[tuple[Batch, Batch]], fill: float = 0.0
) -> Mapping[str, Tensor]:
    batch, made = batch_of(clips, fill)
    return stage.losses(made, batch, stage.pairs(made, batch))


Make = Callable[[ModelConfig, TrainConfig], FacetronStage]


@pytest.mark.parametrize("make", [ProsodyStage, FaceStage, DecoderStage, VocoderStage, JointStage])
def test_a_batch_is_the_mean_of_its_clips(make: Make) -> None:
    torch.manual_seed(0)
    options = config()
    stage = make(options, TrainConfig())
    stage.start_from(frozenset({"prosody", "vocoder"}))
    stage.generator.eval()
    if stage.critic is not None:
        stage.critic.eval()
    spec = options.mel_spec
    clips = [clip(n, i, spec.n_mels, spec.hop_samples) for i, n in enumerate(FRAMES)]
    whole = losses(stage, clips)
    own = [losses(stage, [one]) for one in clips]
    for name, value in whole.items():
        mean = torch.stack([one[name] for one in own]).mean()
        assert float(value) == pytest.approx(float(mean), rel=1e-4, abs=1e-6), name
    for name, value in losses(stage, clips, fill=7.0).items():
        assert float(value) == pytest.approx(float(whole[name]), rel=1e-5), name
    if stage.critic is not None:
        batch, made = batch_of(clips)
        judged = stage.critic(stage.pairs(made, batch))
        alone = []
        for one in clips:
            batch, made = batch_of([one])
            alone.append(stage.critic(stage.pairs(made, batch)))
        assert float(judged) == pytest.approx(float(torch.stack(alone).mean()), rel=1e-4)


def test_sound_made_by_gan_is_judged_to_the_end_of_each_clip() -> None:
    """Clips shorter than the second that it trains on: their padding is neither compared nor judged."""
    torch.manual_seed(0)
    options = gan.DEBUG
    stage = gan.GanStage(options, gan.defaults("waves", options))
    stage.generator.eval()
    spec = options.mel_spec
    clips = [clip(n, i, spec.n_mels, spec.hop_samples) for i, n in enumerate((30, 50, 30, 22))]
    whole = losses(stage, clips)
    own = [losses(stage, [one]) for one in clips]
    for name in whole.keys() - {"level_db"}:  # the level of all of a batch
        mean = torch.stack([one[name] for one in own]).mean()
        # The two of 30 frames are compared by one norm of their spectra.
        assert float(whole[name]) == pytest.approx(float(mean), rel=0.02), name
    for name, value in losses(stage, clips, fill=7.0).items():
        assert float(value) == pytest.approx(float(whole[name]), rel=1e-5), name
    judged = []
    for fill in (0.0, 7.0):
        torch.manual_seed(1)
        batch, made = batch_of(clips, fill)
        assert stage.critic is not None
        judged.append(float(stage.critic(stage.pairs(made, batch))))
    assert judged[0] == pytest.approx(judged[1], rel=1e-5)


def test_gan_makes_no_sound_of_padded_pictures() -> None:
    torch.manual_seed(0)
    model = gan.Gan(gan.DEBUG).eval()
    hop, mels = model.waves.hop, gan.DEBUG.mel_spec.n_mels
    codes = torch.rand(1, 20, gan.DEBUG.decoder[0])
    model.waves.codes = lambda lips, face: codes  # type: ignore[method-assign]
    model.eyes.see = lambda batch: (codes, codes)  # type: ignore[method-assign]
    batch: Batch = {
        "wave": torch.zeros(1, 1, 20 * hop),
        "mel": torch.zeros(1, mels, 40),
        "wave_start": torch.tensor([0]),
        "lengths": torch.tensor([12]),
    }
    with torch.no_grad():
        said = model(batch)["wave"]
        alone = gan.overlapped(model.waves.stretches(codes[:, :12]))
    torch.testing.assert_close(said[..., : 12 * hop], alone, rtol=1e-4, atol=1e-6)
    assert not said[..., 12 * hop + hop // 2 :].any()

    def statistics(padding: float) -> dict[str, Tensor]:
        torch.manual_seed(2)
        learning = gan.Gan(gan.DEBUG).train()
        own = torch.arange(20)[None] < 12
        learning.waves.stretches(codes.where(own[..., None], torch.tensor(padding)), own)
        return {name: b for name, b in learning.waves.named_buffers() if "running" in name}

    found = [statistics(padding) for padding in (0.0, 50.0)]
    assert found[0]
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name])


def test_clips_of_one_length_have_no_lengths() -> None:
    options = config()
    spec = options.mel_spec
    clips = [clip(96, i, spec.n_mels, spec.hop_samples) for i in range(3)]
    batch, made = batch_of(clips)
    assert mel_lengths(batch) is None
    assert not [name for name in batch if name.endswith("_lengths")]
    pairs = JointStage(options, TrainConfig()).pairs(made, batch)
    assert not [name for name in pairs if name.endswith(LENGTHS)]


def test_the_teacher_hears_no_padding() -> None:
    torch.manual_seed(0)
    options = config()
    spec = options.mel_spec
    stage = FaceStage(options, TrainConfig())
    clips = [clip(n, i, spec.n_mels, spec.hop_samples) for i, n in enumerate(FRAMES)]
    teacher = stage.generator.teacher
    batch, _ = batch_of(clips)
    heard = teacher(batch["mel"], mel_lengths(batch))
    for i, one in enumerate(clips):
        alone = teacher(one[0]["mel"][None])[0]
        torch.testing.assert_close(heard[i], alone, rtol=1e-4, atol=1e-5)


def frames_of(random: torch.Generator, lengths: tuple[int, ...], *shape: int) -> list[Tensor]:
    return [torch.rand(*shape, length, generator=random) for length in lengths]


def test_the_codebook_learns_from_no_padding() -> None:
    config = vcvts.DEBUG
    lengths = (6, 4)
    made = frames_of(torch.Generator().manual_seed(0), lengths, config.code_size)
    books = []
    for fill in (0.0, 50.0):
        torch.manual_seed(1)
        book = vcvts.Codebook(config).train()
        _, _, commitment = book(padded(made, fill).transpose(1, 2), torch.tensor(lengths))
        books.append((book.table.clone(), float(commitment)))
    torch.testing.assert_close(books[0][0], books[1][0])
    assert books[0][1] == pytest.approx(books[1][1])


def test_losses_of_voc_are_the_mean_of_its_clips() -> None:
    torch.manual_seed(0)
    stage = voc.VocStage(voc.DEBUG, TrainConfig())
    spec = stage.model.features.spec
    lengths = (150, 120)
    random = torch.Generator().manual_seed(0)
    world = [x.T for x in frames_of(random, lengths, spec.size)]
    for features in world:
        features[:, -1] = (features[:, -1] > 0.5).float()
    made = [x.T for x in frames_of(random, lengths, spec.size)]

    def losses(which: slice, fill: float) -> Mapping[str, Tensor]:
        batch = collate(
            [
                {"speaker": "s1", "clip": f"s1/{i}", "world": world[i]}
                for i in range(len(world))[which]
            ]
        )
        clips = len(batch["clips"])
        batch |= {
            "targets": torch.ones(clips, 1, dtype=torch.int64),
            "target_lengths": torch.ones(clips, dtype=torch.int64),
        }
        found = padded([x.T for x in made[which]], fill).transpose(1, 2)
        logits = torch.zeros(clips, found.shape[1] // voc.DEBUG.world.per_picture, CLASSES[1])
        return stage.losses({"features": found, "logits": logits}, batch, {})

    whole = losses(slice(None), 0.0)
    own = [losses(slice(i, i + 1), 0.0) for i in range(2)]
    for name, value in losses(slice(None), 7.0).items():
        assert float(value) == pytest.approx(float(whole[name]), rel=1e-5), name
        mean = torch.stack([one[name] for one in own]).mean()
        assert float(value) == pytest.approx(float(mean), rel=1e-4), name


def test_losses_of_lip2wav_are_the_mean_of_its_clips() -> None:
    torch.manual_seed(0)
    stage = lip2wav.Lip2WavStage(lip2wav.DEBUG, TrainConfig())
    stage.begin(0)
    n_mels, lengths = lip2wav.DEBUG.mel_spec.n_mels, (16, 12)
    random = torch.Generator().manual_seed(0)
    known = {
        name: frames_of(random, lengths, n_mels) for name in ("before", "after", "wanted", "mel")
    }
    attention = [torch.rand(n // 2, n // 2, generator=random).softmax(-1) for n in lengths]

    def losses(which: slice, fill: float) -> Mapping[str, Tensor]:
        batch = collate(
            [
                {"speaker": "s1", "clip": f"s1/{i}", "mel": known["mel"][i]}
                for i in range(len(lengths))[which]
            ]
        )
        made = {name: padded(values[which], fill) for name, values in known.items()}
        longest = max(len(one) for one in attention[which])
        made["attention"] = torch.stack(
            [
                torch.nn.functional.pad(
                    one, (0, longest - len(one), 0, longest - len(one)), value=fill
                )
                for one in attention[which]
            ]
        )
        return stage.losses(made, batch, {})

    whole = losses(slice(None), 0.0)
    own = [losses(slice(i, i + 1), 0.0) for i in range(2)]
    for name, value in losses(slice(None), 7.0).items():
        assert float(value) == pytest.approx(float(whole[name]), rel=1e-5), name
        mean = torch.stack([one[name] for one in own]).mean()
        assert float(value) == pytest.approx(float(mean), rel=1e-4), name


@pytest.mark.parametrize("kind", ["gru", "ge2e"])
def test_the_prosody_stage_hears_no_padding(kind: str) -> None:
    """In training, where batch norms look at the whole batch: what pads it changes no embedding."""
    sets = [f"prosody.kind={kind}", *(f"{s}.embedding_size=256" for s in ("prosody", "face"))]
    options = model_config("debug", sets=sets)
    spec = options.mel_spec
    clips = [clip(n, i, spec.n_mels, spec.hop_samples) for i, n in enumerate(FRAMES)]
    found = []
    for fill in (-11.5, 30.0):
        torch.manual_seed(0)
        stage = ProsodyStage(options, TrainConfig())
        stage.generator.train()
        batch, _ = batch_of(clips)
        for mel, length in zip(batch["mel"], FRAMES, strict=True):
            mel[:, length:] = fill
        found.append(stage.generator(batch)["prosody"])
    torch.testing.assert_close(found[0], found[1])
    longest = batch["mel"].shape[-1]
    assert [n for n in FRAMES if n < longest]


@pytest.mark.parametrize("make", [DecoderStage, JointStage])
def test_lips_of_a_voice_are_read_without_their_padding(make: Make) -> None:
    """The Bi-GRU reads backward: from the end of a clip, not from the gray that pads it."""
    torch.manual_seed(0)
    options = config()
    stage = make(options, TrainConfig())
    stage.start_from(frozenset({"prosody", "vocoder"}))
    stage.generator.eval()
    side, spec = options.lip.input_px, options.mel_spec
    lips = torch.randint(0, 256, (1, 40, side, side), dtype=torch.uint8)
    face = torch.zeros(3, options.face.input_px, options.face.input_px, dtype=torch.uint8)
    seen = []
    for others in ([], [75]):
        items = []
        for frames in (40, *others):
            target, _ = clip(2 * frames, 0, spec.n_mels, spec.hop_samples)
            shown = lips if frames == 40 else torch.zeros(1, frames, side, side, dtype=torch.uint8)
            target |= {"lips": shown, "face": face, "targets": torch.tensor([1])}
            target["wave"], target["wave_mel"] = target["wave"][:, :640], target["wave_mel"][:, :2]
            items.append(target)
        seen.append(stage.generator(collate(items))["lip"][0, :40])
    torch.testing.assert_close(seen[0], seen[1])
