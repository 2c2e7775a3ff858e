"""Which optional library belongs to which pip extra, for the one line that says what to install.

The distribution without extras builds features, synthesizes speech and computes the metrics that
need signal processing alone; `pyproject.toml` lists what each extra brings.
"""

from __future__ import annotations

PROJECT = "facetron-toolkit"
EXTRAS = {
    "ai_edge_litert": "prep",
    "espeakng_loader": "prep",
    "matplotlib": "eval",
    "jiwer": "eval",
    "librosa": "eval",
    "sklearn": "eval",
    "speechbrain": "eval",
    "lightning_fabric": "train",
    "dask": "dask",
    "distributed": "dask",
    "face_alignment": "face-alignment",
    "pesq": "pesq",
    "tensorboard": "tensorboard",
    "psutil": "dev",
}
"""Name in `import` statements → the extra whose first purpose it is."""


def install_line(module: str) -> str | None:
    """What to type for a module that could not be imported, or None for one that is not ours to name.

    Example:
        >>> install_line("speechbrain.lobes.models")
        "pip install 'facetron-toolkit[eval]'"
        >>> install_line("os") is None
        True
    """
    library = module.split(".")[0]
    if library in EXTRAS:
        return f"pip install '{PROJECT}[{EXTRAS[library]}]'"
    return f"pip install {PROJECT}" if library in REQUIRED else None


REQUIRED = frozenset(
    ("av", "cv2", "joblib", "numpy", "pandas", "pystoi", "safetensors", "scipy", "soundfile", "soxr",
     "threadpoolctl", "torch", "tqdm", "click", "yaml")
)  # fmt: skip
"""What comes without extras: absent only where somebody installed without dependencies."""
