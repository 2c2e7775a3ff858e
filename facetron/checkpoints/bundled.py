"""Weights that come with the package, by name: `facetron/weights/<name>/model.safetensors`."""

from __future__ import annotations

from pathlib import Path

from manifests.errors import BadInput

FOLDER = Path(__file__).parents[1] / "weights"
FILE = "model.safetensors"


def names() -> tuple[str, ...]:
    """Names of all bundled weights, sorted."""
    return tuple(sorted(file.parent.name for file in FOLDER.glob(f"*/{FILE}")))


def resolve(checkpoint: str | Path) -> Path:
    """Returns the file that the name of bundled weights or a path stands for.

    Raises:
        BadInput: it is neither; the message lists the bundled names.
    """
    if str(checkpoint) in names():
        return FOLDER / str(checkpoint) / FILE
    path = Path(checkpoint)
    if not path.is_file():
        held = ", ".join(names()) or "none in this installation"
        raise BadInput(
            f"{checkpoint} is neither a checkpoint file nor the name of bundled weights",
            f"give a path, or one of the bundled weights ({held})",
        )
    return path
