"""Checkpoints: one safetensors file with the weights and a header that describes them.

The header is also written beside the file as JSON, for people and other programs; only the header in
the file is loaded, so that the two cannot disagree. That JSON also holds what is measured of finished
weights (`facetron.synthesis.confidence.store`), so that the file of the weights never changes. Nothing
is unpickled. The file that training
resumes from also holds the state of the optimizers, so that a kill leaves either the old state or the
new.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from facetron import systems
from facetron.systems import SystemConfig
from manifests.errors import BadInput, SpecMismatch, ToolkitError
from manifests.io import atomic_path, write_json
from manifests.records import Record

ModuleT = TypeVar("ModuleT", bound=nn.Module)

HEADER = "facetron_checkpoint"
SENTENCES = 1500
"""Most sentences that a header keeps, some 40 kB: enough for a model of letters."""


@dataclass(frozen=True)
class CheckpointInfo(Record):
    """The header of a checkpoint, which describes its weights and their origin.

    Attributes:
        stage: stage that trained the weights.
        config: the whole config of the system, as plain values.
        parts: modules in the file, such as `lip`; their tensors are named `lip.…`.
        mel: fingerprint of the mels that it was trained on or predicts.
        crop: fingerprint of the crops that it was trained on.
        speakers: seen speakers, which it was trained on. Any other is unseen.
        split: split of the manifest.
        epoch: finished epochs; `step` is the number of steps in all of them.
        metrics: metrics of the last validation, or of the training where there is none.
        revision: git revision, or "".
        training: options of the training.
        progress: state that a resumed training needs.
        history: metrics of every epoch.
        system: name in `facetron.systems` of the system of the weights.
        trained: part → record of the training that last changed it (`stage`, `epoch`, `revision`,
            `metrics`, `training`): a part that is only used keeps its record.
        borrowed: part that is not in the file → `NAME:DIGEST` of the bundled weights that have it,
            see `facetron.checkpoints.borrowed`.
        sentences: texts of the clips that it was trained on, at most `SENTENCES` different ones.
    """

    stage: str
    config: dict[str, Any]
    parts: tuple[str, ...]
    mel: str
    crop: str
    speakers: tuple[str, ...]
    split: str = ""
    epoch: int = 0
    step: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict)
    revision: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    system: str = systems.DEFAULT
    trained: dict[str, dict[str, Any]] = field(default_factory=dict)
    borrowed: dict[str, str] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()

    def model_config(self) -> SystemConfig:
        """Returns the options of the system. Raises `BadInput` where this version has no such system
        or does not support the options."""
        return systems.get(self.system).config(self.config)

    def require_system(self, system: str, path: Path) -> None:
        """Raises `BadInput` unless the weights in `path` are of the system `system`."""
        if self.system != system:
            raise BadInput(
                f"{path} is a checkpoint of the system {self.system}, not of {system}",
                f"give one of {system}",
            )

    def record(self, part: str) -> dict[str, Any]:
        """Returns the training record of a part, or that of the whole file where the part has none."""
        return self.trained.get(part) or {
            "stage": self.stage,
            "epoch": self.epoch,
            "revision": self.revision,
            "metrics": self.metrics,
            "training": self.training,
        }

    def has_seen(self, speaker: str) -> bool:
        """Returns whether the weights were trained on a speaker: "seen" and "unseen" in synthesis."""
        return speaker in self.speakers


def save(
    path: Path, tensors: Mapping[str, Tensor], info: CheckpointInfo, words: bool = True
) -> None:
    """Atomically writes a checkpoint and, on request, its header beside it as `.json`.

    Raises:
        OSError: the disk is full or read-only; an existing file is kept.
    """
    plain = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()
    }
    text = json.dumps(info.to_dict(), ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        try:
            save_file(plain, temporary, {HEADER: text, "format": "pt"})
        except SafetensorError as error:  # a full disk comes as this, without its number
            raise ToolkitError(f"{path} cannot be written ({error})", "free space") from None
    if words:
        write_json(description(path), info.to_dict())


def description(path: Path) -> Path:
    """Returns the path of the JSON beside a checkpoint."""
    return path.with_suffix(".json")


def read_info(path: Path) -> CheckpointInfo:
    """Reads the header of a checkpoint without its weights. Raises `BadInput` naming the file."""
    return _open(path, tensors=False)[0]


def load(path: Path) -> tuple[CheckpointInfo, dict[str, Tensor]]:
    """Reads the header of a checkpoint, and its tensors on the CPU.

    Raises:
        BadInput: the file is absent, damaged, or of another program.
    """
    return _open(path, tensors=True)


def _open(path: Path, tensors: bool) -> tuple[CheckpointInfo, dict[str, Tensor]]:
    if not path.is_file():
        raise BadInput(f"{path} does not exist", "check the path of the checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            names = file.keys() if tensors and header else []
            values = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(
            f"{path} is not a readable safetensors file ({error})", "fetch it again"
        ) from None
    if header is None:
        raise BadInput(
            f"{path} is not a checkpoint of facetron", "check the path of the checkpoint"
        )
    try:
        words = json.loads(header)
        if not isinstance(words, dict):
            raise ValueError("no object")
        return CheckpointInfo.from_dict(words), values
    except (ValueError, TypeError, ToolkitError) as error:
        raise BadInput(f"{path} has a damaged header ({error})", "fetch it again") from None


def require_features(info: CheckpointInfo, path: Path, mel: str, crop: str) -> None:
    """Raises `SpecMismatch` unless a checkpoint was trained on these mels and crops ("" is any)."""
    for name, its, wanted in (("mels", info.mel, mel), ("crops", info.crop, crop)):
        if its and wanted and its != wanted:
            raise SpecMismatch(
                f"{path} was trained on {name} {its}, not {wanted}",
                "use features that were built with the same parameters",
            )


def unfilled(make: Callable[[], ModuleT]) -> ModuleT:
    """Makes a module whose weights are only to be replaced; PyTorch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        return make()


def load_part(module: nn.Module, part: str, path: Path) -> CheckpointInfo:
    """Fills a module from a checkpoint that has the part of this name.

    Raises:
        BadInput: the file is unusable or lacks the part.
        SpecMismatch: the weights have other shapes than the module's.
    """
    info, tensors = load(path)
    fill(module, part, tensors, path)
    return info


def fill(module: nn.Module, part: str, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fills a module like `load_part`, from tensors that were read from `path`."""
    start = f"{part}."
    state = {name[len(start) :]: value for name, value in tensors.items() if name.startswith(start)}
    if not state:
        held = ", ".join(sorted({name.split(".")[0] for name in tensors})) or "nothing"
        raise BadInput(f"{path} has no {part}", f"it holds {held}")
    own = module.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    wrong += [name for name in state if name not in own]
    if wrong:
        raise SpecMismatch(
            f"{path}: {part} does not fit the config ({len(wrong)} tensors differ, first {wrong[0]})",
            "use the config that it was trained with",
        )
    module.load_state_dict(state)


def named(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Returns the tensors of modules, named `part.tensor`."""
    return {
        f"{part}.{name}": value
        for part, module in parts.items()
        for name, value in module.state_dict().items()
    }


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Returns the state of an optimizer as tensors named `prefix.number.name`, with groups kept apart."""
    return {
        f"{prefix}.{number}.{name}": torch.as_tensor(value)
        for number, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def fill_optimizer(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Restores the state of an optimizer from `optimizer_tensors`; the groups keep their options."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}."):
            number, name = key[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def git_revision() -> str:
    """Returns the git revision of the repository that holds the code, or "" where there is none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
