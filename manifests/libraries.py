"""Which optional library belongs to which pip extra, for the one line that says what to install.

The distribution without extras builds features, synthesizes speech and computes the metrics that
need signal processing alone; `pyproject.toml` lists what each extra brings.
"""

from __future__ import annotations

PROJECT = "facetron-toolkit"
EXTRAS = {
    "ai_edge_litert": ("prep",),
    "espeakng_loader": ("prep",),
    "matplotlib": ("eval", "prep"),
    "jiwer": ("eval",),
    "librosa": ("eval",),
    "sklearn": ("eval",),
    "speechbrain": ("eval",),
    "lightning_fabric": ("train",),
    "dask": ("dask",),
    "distributed": ("dask",),
    "face_alignment": ("face-alignment",),
    "pesq": ("pesq",),
    "tensorboard": ("tensorboard",),
    "psutil": ("dev",),
}
"""Name in `import` statements → the extras that bring it, the commonest first."""

EXTRA_OF_PROGRAM = {"gridprep": "prep", "facetron": "train", "facetron-eval": "eval"}


def install_line(module: str, program: str = "") -> str | None:
    """What to type for a module that could not be imported, or None for one that is not ours to name.

    Args:
        module: dotted name, as `ModuleNotFoundError.name` gives it.
        program: which program needs it; its own extra is preferred where several bring the library.

    Example:
        >>> install_line("speechbrain.lobes.models")
        "pip install 'facetron-toolkit[eval]'"
        >>> install_line("matplotlib.figure", program="gridprep")
        "pip install 'facetron-toolkit[prep]'"
        >>> install_line("os") is None
        True
    """
    library = module.split(".")[0]
    if library in EXTRAS:
        extras = EXTRAS[library]
        own = EXTRA_OF_PROGRAM.get(program, "")
        return f"pip install '{PROJECT}[{own if own in extras else extras[0]}]'"
    return f"pip install {PROJECT}" if library in REQUIRED else None


REQUIRED = frozenset(
    ("av", "click", "cv2", "jinja2", "joblib", "numpy", "pandas", "pystoi", "rapidfuzz", "safetensors",
     "scipy", "soundfile", "soxr", "threadpoolctl", "torch", "tqdm", "yaml")
)  # fmt: skip
"""What comes without extras: absent only where somebody installed without dependencies."""
