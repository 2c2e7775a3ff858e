"""Systems by name: everything that the programs need to know of a model that is a row of a table.

A system is one file. It defines a frozen dataclass of options with the sizes `paper`, `small` and
`debug`, its modules, its training stages, and a class that synthesizes speech or draws faces; a
`System` names them, and a line in `SYSTEMS` names the `System`. A package of its own registers one
through the entry point group `facetron.systems` instead. Targets are written "module:name" and
imported when used, so that importing this module does not import PyTorch.

A checkpoint carries the name of its system, and only registered names are ever resolved: nothing
is imported because a file says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from facetron import options
from manifests.errors import BadInput
from manifests.specs import MelSpec

if TYPE_CHECKING:
    from torch import nn

    from facetron.drawing.base import FacePainter
    from facetron.inventory import ModuleEntry
    from facetron.synthesis.base import SpeechSynthesizer
    from facetron.train.config import TrainConfig
    from facetron.train.stage import Stage

DEFAULT = "facetron"
"""The system of commands that name none, and of checkpoints that were written before they named one."""

SYSTEMS: dict[str, str] = {
    DEFAULT: "facetron.model.system:FACETRON",
    "lip2wav": "facetron.baselines.lip2wav:SYSTEM",
    "voc": "facetron.baselines.voc:SYSTEM",
    "vcvts": "facetron.baselines.vcvts:SYSTEM",
    "gan": "facetron.baselines.gan:SYSTEM",
    "face2speech": "facetron.baselines.face2speech:SYSTEM",
    "wav2pix": "facetron.baselines.wav2pix:SYSTEM",
    "choi": "facetron.baselines.choi:SYSTEM",
}
"""Name → "module:name" of its `System`."""

ENTRY_POINTS = "facetron.systems"
DRAW = "use `facetron draw`"


class SystemConfig(Protocol):
    """The part that every system's options have; they are a frozen dataclass beside that.

    A system whose stages read the field `lips` has a section `lip` (`facetron.model.config.LipConfig`),
    and one whose stages read `face` a section `face` (`FaceConfig`): they decide how stored pictures
    become input.
    """

    @property
    def size(self) -> str:
        """The preset that the options started from."""

    @property
    def mel_spec(self) -> MelSpec:
        """Parameters of the mels that it learns from and makes."""


class PainterConfig(SystemConfig, Protocol):
    """The part that the options of a system that draws have beside."""

    @property
    def heard_s(self) -> float:
        """Seconds of speech that a face is drawn from."""

    @property
    def picture_px(self) -> int:
        """Side of a picture."""


@dataclass(frozen=True)
class System:
    """A system as the programs see it. What is not said in plain values is a target "module:name".

    Attributes:
        name: in the registry, in checkpoints and for `--system`.
        label: as tables print it.
        source: paper that describes it.
        presets: target of `facetron.options.Presets`; the entry "" holds the sizes by name, with
            `paper`, `small` and `debug` among them.
        stages: stage → target of its `facetron.train.stage.Stage`, in the order of training.
        defaults: target of a function (stage, config) → `TrainConfig`.
        parts: what `facetron export` takes; discriminators stay behind.
        needed: the parts without which it cannot speak or draw. The checkpoint of the last of them
            decides the options that belong to no part.
        inventory: target of a function config → `facetron.inventory.ModuleEntry` by name.
        departures: target of a function config → lines that say where it differs from its source.
        synthesizer: target of its `facetron.synthesis.base.SpeechSynthesizer`; "" where it draws.
        painter: target of its `facetron.drawing.base.FacePainter`; "" where it speaks.
        encoders: `face` and `prosody`, where it has such parts: target of a function config →
            module, for `facetron embed`.
    """

    name: str
    label: str
    source: str
    presets: str
    stages: Mapping[str, str]
    defaults: str
    parts: tuple[str, ...]
    needed: tuple[str, ...]
    inventory: str
    departures: str
    synthesizer: str = ""
    painter: str = ""
    encoders: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> Mapping[str, SystemConfig]:
        """Options by the name of their size."""
        found: Mapping[str, SystemConfig] = resolve(self.presets)[""]
        return found

    def configure(
        self, size: str | None = None, file: Path | None = None, sets: Sequence[str] = ()
    ) -> SystemConfig:
        """Options from a size, a YAML file and `key=value` texts; see `facetron.options.configure`."""
        config: SystemConfig = options.configure(resolve(self.presets), size, file, sets)
        return config

    def config(self, values: Mapping[str, Any]) -> SystemConfig:
        """Options from the plain values of a checkpoint. Raises `BadInput` where this version cannot
        have such a model."""
        config: SystemConfig = options.from_dict(type(self.sizes["paper"]), values)
        return config

    def require_stage(self, stage: str) -> None:
        """Raises `BadInput`, which lists the stages, unless there is one of this name."""
        if stage not in self.stages:
            raise BadInput(
                f"{self.name} has no stage {stage!r}",
                f"choose one of {', '.join(self.stages)}, all",
            )

    def stage(self, name: str) -> type[Stage[Any]]:
        """The class of a stage. Raises `BadInput` for an unknown name."""
        self.require_stage(name)
        found: type[Stage[Any]] = resolve(self.stages[name])
        return found

    def training(self, stage: str, config: SystemConfig) -> TrainConfig:
        """The options that a stage is trained with unless told otherwise."""
        self.require_stage(stage)
        found: TrainConfig = resolve(self.defaults)(stage, config)
        return found

    def synthesizer_class(self) -> type[SpeechSynthesizer]:
        """Returns the class of its synthesizers. Raises `BadInput` where the system draws."""
        if not self.synthesizer:
            raise BadInput(f"{self.name} draws faces from speech and does not speak", DRAW)
        found: type[SpeechSynthesizer] = resolve(self.synthesizer)
        return found

    def painter_class(self) -> type[FacePainter]:
        """Returns the class of its painters. Raises `BadInput` where the system speaks."""
        if not self.painter:
            raise BadInput(f"{self.name} speaks and draws no faces", "use `facetron synthesize`")
        found: type[FacePainter] = resolve(self.painter)
        return found

    def modules(self, config: SystemConfig) -> dict[str, ModuleEntry]:
        """Returns what `facetron info` counts, by name."""
        found: dict[str, ModuleEntry] = resolve(self.inventory)(config)
        return found

    def departures_of(self, config: SystemConfig) -> list[str]:
        """Returns where a config differs from the source, a line each."""
        found: list[str] = resolve(self.departures)(config)
        return found

    def encoder(self, name: str, config: SystemConfig) -> nn.Module:
        """A fresh `face` or `prosody` encoder; `name` is a key of `encoders`."""
        made: nn.Module = resolve(self.encoders[name])(config)
        return made


def resolve(target: str) -> Any:
    """The object that "module:name" names, whose module is imported if need be."""
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def names() -> tuple[str, ...]:
    """Returns the names of all systems: this package's, then those of installed packages."""
    return tuple(dict.fromkeys([*SYSTEMS, *(e.name for e in entry_points(group=ENTRY_POINTS))]))


def get(name: str = DEFAULT) -> System:
    """The system of a name.

    Raises:
        BadInput: there is none; the registered ones are listed.

    Example:
        >>> facetron = get("facetron")
        >>> facetron.label, list(facetron.stages)
        ('Facetron', ['lip', 'prosody', 'face', 'decoder', 'vocoder', 'joint'])
        >>> facetron.configure("small").mel_spec.hop_samples
        320
    """
    target = SYSTEMS.get(name)
    if target is None:
        target = next((e.value for e in entry_points(group=ENTRY_POINTS, name=name)), None)
    if target is None:
        raise BadInput(f"there is no system {name!r}", f"choose one of {', '.join(names())}")
    system: System = resolve(target)
    return system
