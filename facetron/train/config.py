"""Options of training, per stage and size: defaults ← YAML section `train` ← `--set train.key=value`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from facetron import options, systems
from facetron.systems import SystemConfig
from facetron.train import augment
from facetron.train.augment import Augmentation
from manifests.errors import BadInput

SECTION = "train"


@dataclass(frozen=True)
class TrainConfig:
    """Options of the training of a stage; `ModelConfig` has those of the model."""

    epochs: int = 100
    passes: int = 1
    """Times that an epoch goes through the clips. Validating and saving come once an epoch: with few
    clips and quick steps they would take longer than the steps."""
    batch_size: int = 16
    """Clips per step, of all processes together."""
    accumulate: int = 1
    """Parts that each process cuts its share of a batch into, whose gradients are added up before the
    step: the memory of a part, the step of the whole. Batch norms and losses that compare the clips of
    a batch (`loss.contrastive`, `loss.swap`) see a part only; a stage with discriminators computes the
    generator twice."""
    learning_rate: float = 2e-4
    lr_decay: float = 0.999
    """Factor per epoch."""
    warmup_steps: int = 0
    betas: tuple[float, ...] = (0.8, 0.99)
    weight_decay: float = 0.01
    critic_learning_rate: float = 0.0
    """Learning rate of the discriminators; 0 takes `learning_rate`. It decays and warms up alike."""
    critic_steps: int = 1
    """Steps of the discriminators on a batch for one of the generator, as Wasserstein critics need."""
    clip_norm: float = 0.0
    """Largest norm of all gradients; 0 does not clip them."""
    ema: float = 0.0
    """Decay per step of a moving average of the weights, which then is what is validated and saved, such
    as 0.999; 0 keeps none. Not in the paper."""
    patience: int = 0
    """Epochs without a better monitored value until the stage ends; 0 never ends early."""
    min_delta: float = 0.0
    """Least improvement of the monitored value that counts as better."""
    seed: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """`auto`: bf16 where autocast pays, on CUDA."""
    workers: int = -1
    """Processes that read clips; −1 decides by itself (`facetron.train.batches.reading_workers`)."""
    cache_mb: int = 1024
    """Decoded small pictures kept in memory, all workers together."""
    segment_frames: int = 32
    """Mel frames of the waveform segments of the vocoder (HiFi-GAN: 8192 samples, here 10,240)."""
    speaker_balance: float = 0.0
    """How evenly an epoch draws from the speakers: 0 takes each clip once, 1 each speaker equally
    often, however many clips there are of each; between them shares are n^(1 − balance)."""
    gender_balance: bool = False
    """Draws women and men equally often."""
    word_loss: float = 0.0
    """Weight of a per-frame loss of the words from the alignments. Not in the paper."""
    lip_variants: int = 0
    """For the decoder and joint stages with a frozen lip encoder: its embeddings are computed once,
    before the first epoch, for so many variations of each clip, and kept in memory (38 KB each at
    `small`); half the cost of a step on a CPU. 0 reads the lips anew in each step."""
    save_every_s: float = 300.0
    """Seconds between saves within an epoch, from which the run resumes; one process only."""
    save_every_steps: int = 0
    """Steps between such saves, with any number of processes; 0 never saves."""
    keep_best: int = 1
    """Number of best epochs that keep a checkpoint: `best.safetensors`, and with 2 or more `epoch-0012`
    and so on."""
    validate_clips: int = 0
    """Number of validation clips, spread over all, that are used after an epoch; 0 is all."""
    skip_limit: int = 10
    """Consecutive steps that may be skipped, because a gradient is not finite, before the run ends;
    `log.csv` counts them. 0 ends it at the first."""
    loggers: tuple[Literal["auto", "csv", "tensorboard", "wandb", "mlflow"], ...] = ("auto",)
    """Programs that show the scalars of each epoch, with mels, sounds and transcripts, beside `log.csv`,
    which is always written. `auto` is TensorBoard where it is installed; `csv` is the file alone."""
    show_every: int = 1
    """Epochs between those mels, sounds and transcripts, a third of a megabyte; 0 is never."""
    compile: bool = False
    """Compile the modules that learn by `torch.compile`: slow first steps, faster ones after them."""
    compile_backend: str = "inductor"
    """Backend of `torch.compile`."""
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        least = (self.epochs, self.passes, self.batch_size, self.segment_frames)
        if min(least) < 1 or self.seed < 0:
            raise BadInput(
                f"train: {self.epochs} epochs of {self.passes} passes, batches of {self.batch_size}, "
                f"seed {self.seed}",
                "give at least 1, and a seed of 0 or more",
            )
        if not 0 <= self.speaker_balance <= 1:
            raise BadInput(
                f"train.speaker_balance is {self.speaker_balance}",
                "give 0 (all clips alike) to 1 (speakers)",
            )
        if self.critic_learning_rate < 0:
            raise BadInput(
                f"train.critic_learning_rate is {self.critic_learning_rate:g}",
                "give 0 (the generator's) or more",
            )
        if self.critic_steps < 1:
            raise BadInput(f"train.critic_steps is {self.critic_steps}", "give 1 or more")
        if (
            min(self.accumulate, self.keep_best) < 1
            or min(self.save_every_steps, self.validate_clips, self.skip_limit) < 0
        ):
            raise BadInput(
                f"train: accumulate {self.accumulate}, keep_best {self.keep_best}, save_every_steps "
                f"{self.save_every_steps}, validate_clips {self.validate_clips}, skip_limit "
                f"{self.skip_limit}",
                "give at least 1 for the first two, 0 or more for the others",
            )
        if not 0 <= self.ema < 1:
            raise BadInput(f"train.ema is {self.ema}", "give 0 (none) to below 1, such as 0.999")
        if self.lip_variants < 0:
            raise BadInput(f"train.lip_variants is {self.lip_variants}", "give 0 or more")
        if len(self.betas) != 2 or self.learning_rate <= 0:
            raise BadInput(
                f"train.betas {list(self.betas)} with train.learning_rate {self.learning_rate:g}",
                "give two betas and a learning rate above 0",
            )


_STEADY = replace(augment.NONE, flip=0.5, brightness=0.08, contrast=0.15)
_PLAIN = (0.9, 0.999)

DEFAULTS: dict[str, TrainConfig] = {
    "lip": TrainConfig(
        epochs=60, learning_rate=1e-4, lr_decay=0.98, betas=_PLAIN, clip_norm=10.0, weight_decay=0
    ),
    "prosody": TrainConfig(
        epochs=40,
        learning_rate=5e-4,
        lr_decay=0.98,
        betas=_PLAIN,
        clip_norm=5.0,
        augment=augment.NONE,
    ),
    "face": TrainConfig(
        epochs=100,
        batch_size=32,
        learning_rate=3e-4,
        betas=_PLAIN,
        clip_norm=5.0,
        patience=8,
        min_delta=1e-3,
        augment=replace(_STEADY, shift=0.03),
    ),
    # Frames keep their times, or sound and lips would part.
    "decoder": TrainConfig(epochs=200, augment=_STEADY, clip_norm=1000.0),
    "vocoder": TrainConfig(epochs=400, augment=augment.NONE, clip_norm=1000.0),
    "joint": TrainConfig(epochs=50, learning_rate=5e-5, augment=_STEADY, clip_norm=1000.0),
}


def facetron_defaults(stage: str, config: SystemConfig) -> TrainConfig:
    """Returns the default options of the training of a stage of Facetron."""
    base = DEFAULTS[stage]
    if stage == "lip" and config.size != "paper":
        base = replace(base, learning_rate=1e-3)  # few weights, few clips: LipNet's rate creeps
    return base


NOT_IN_PAPER = {
    "word_loss": "a loss of the word of each frame, from the alignments",
    "ema": "an average of the weights is what is kept",
    "speaker_balance": "speakers with few clips are drawn more often",
    "gender_balance": "women and men are drawn equally often",
}
"""Options that add to a training what no paper of the systems here has."""


def train_config(
    stage: str,
    size: str | None = None,
    file: Path | None = None,
    sets: Sequence[str] = (),
    system: str = systems.DEFAULT,
) -> tuple[SystemConfig, TrainConfig]:
    """Returns the options of a system's model and of a stage, from the same YAML and `--set` texts.

    In YAML, `train:` holds options for all stages, and `train: {lip: {…}}` for one.

    Raises:
        BadInput: an unknown system, stage, key or size, or values that do not fit.
    """
    chosen = systems.get(system)
    chosen.require_stage(stage)
    ours = [text for text in sets if text.split("=")[0].strip().startswith(f"{SECTION}.")]
    model = chosen.configure(size, file, [text for text in sets if text not in ours])
    base = chosen.training(stage, model)
    written = options.read_yaml(file).get(SECTION, {}) if file else {}
    for values in (written, options.assignments(ours).get(SECTION, {})):
        base = _merged(base, values, stage, tuple(chosen.stages))
    return model, base


def additions(system: str, size: str | None, file: Path | None, sets: Sequence[str]) -> list[str]:
    """Returns what the trainings of a system's stages add with these options, a line each."""
    stages = systems.get(system).stages
    trainings = {stage: train_config(stage, size, file, sets, system)[1] for stage in stages}
    found = []
    for name, text in NOT_IN_PAPER.items():
        where = [stage for stage in stages if getattr(trainings[stage], name)]
        names = [SECTION] if len(where) == len(stages) else [f"{SECTION}.{s}" for s in where]
        found += [f"{section}.{name}: {text}" for section in names]
    return found


def _merged(base: TrainConfig, values: Any, stage: str, stages: Sequence[str]) -> TrainConfig:
    if not isinstance(values, dict):
        raise BadInput(f"{SECTION} is {values!r}, not a section", "set train.KEY=VALUE")
    general = {key: value for key, value in values.items() if key not in stages}
    merged = options.merge(base, general, section=SECTION)
    return options.merge(merged, values.get(stage) or {}, section=f"{SECTION}.{stage}")
