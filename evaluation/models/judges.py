"""Judges that other people trained and whose weights lie in public wheels: where their files are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from manifests import ge2e
from manifests.errors import BadInput, MissingDependency, ToolkitError
from manifests.wheels import Wheel, WheelFile, fetch_files, find_files


@dataclass(frozen=True)
class Judge:
    """
    Attributes:
        name: for commands.
        measures: what it hears, for a person.
        license: of the weights.
        wheel, files: where the weights lie.
    """

    name: str
    measures: str
    license: str
    wheel: Wheel
    files: tuple[WheelFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def find(self) -> dict[WheelFile, Path]:
        """Its files, checked. Raises as `manifests.wheels.find_files`."""
        return find_files(self.wheel, self.files)

    @property
    def found(self) -> bool:
        """Returns whether its files are there, checked."""
        try:
            self.find()
        except ToolkitError:
            return False
        return True

    def require(self) -> None:
        """Raises `MissingDependency` where a file is missing or damaged."""
        try:
            self.find()
        except BadInput as error:
            raise MissingDependency(error.problem, error.remedy) from None


GE2E = Judge("ge2e", "whose voice it is", "Apache-2.0", ge2e.WHEEL, (ge2e.WEIGHTS,))

DNSMOS_P808 = WheelFile(
    "dnsmos-p808-speechmos-0.0.1.1.onnx",
    "speechmos/dnsmos_models/model_v8.onnx",
    "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
    224_860,
)
DNSMOS_P835 = WheelFile(
    "dnsmos-p835-speechmos-0.0.1.1.onnx",
    "speechmos/dnsmos_models/sig_bak_ovr.onnx",
    "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    1_157_965,
)
DNSMOS = Judge(
    "dnsmos",
    "listeners' opinion, for noise suppressors",
    "MIT",
    Wheel("speechmos", "0.0.1.1", "the judge DNSMOS", ge2e.FETCH),
    (DNSMOS_P808, DNSMOS_P835),
)
DISTILLMOS_WEIGHTS = WheelFile(
    "distillmos-0.9.1-v7.pt",
    "distillmos/weights/distill_mos_v7.pt",
    "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40",
    16_907_522,
)
DISTILLMOS = Judge(
    "distillmos",
    "listeners' opinion",
    "MIT",
    Wheel("distillmos", "0.9.1", "the judge DistillMOS", ge2e.FETCH),
    (DISTILLMOS_WEIGHTS,),
)
JUDGES = {judge.name: judge for judge in (GE2E, DNSMOS, DISTILLMOS)}


def fetch(names: tuple[str, ...] = (), wheels: tuple[Path, ...] = ()) -> list[Path]:
    """Puts the files of judges into the user's cache, unless they are there already.

    Args:
        names: which; empty for all, or for those of the given wheels.
        wheels: local wheels; of the others the package client downloads theirs.

    Returns: the files' paths.

    Raises: `BadInput` for an unknown name or a wheel of no judge; else as
        `manifests.wheels.fetch_files`.
    """
    unknown = [name for name in names if name not in JUDGES]
    if unknown:
        raise BadInput(f"there is no judge {unknown[0]!r}", f"choose from {', '.join(JUDGES)}")
    local: dict[str, Path] = {}
    for path in wheels:
        of = [name for name, judge in JUDGES.items() if _is_of(path, judge.wheel)]
        if not of:
            releases = ", ".join(judge.wheel.release for judge in JUDGES.values())
            raise BadInput(f"{path} is the wheel of no judge", f"give one of {releases}")
        local.update(dict.fromkeys(of, path))
    chosen = names or tuple(local) or tuple(JUDGES)
    return [
        path
        for name in chosen
        for path in fetch_files(JUDGES[name].wheel, JUDGES[name].files, None, local.get(name))
    ]


def _is_of(path: Path, wheel: Wheel) -> bool:
    """Goes by the name of the file, which pip never changes; its content is checked when it is unpacked."""
    release = "-".join(path.name.split("-")[:2])
    return _plain(release) == _plain(f"{wheel.distribution}-{wheel.version}")


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
