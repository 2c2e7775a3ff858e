"""Lets SpeechBrain and transformers be imported where torchaudio cannot.

SpeechBrain imports torchaudio in many modules and calls it in few: to read files and to resample,
neither of which we leave to it; transformers imports it beside its feature extractors. Recent wheels of
torchaudio are CUDA builds, which beside a CPU-only torch fail to load with an OSError (libc10_cuda.so).
Then, and only then, an empty module of that name is registered: CRDNN, ECAPA-TDNN, the decoders and the
features of SpeechBrain 1.1 import with it, and so do Whisper and WavLM of transformers 5.
A use of what it lacks raises an AttributeError that names torchaudio.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
import types

VERSION = "2.9.0+placeholder"
"""SpeechBrain reads it: from 2.9 on it asks torchaudio for nothing when it starts."""


def ensure_torchaudio() -> bool:
    """Makes `import torchaudio` succeed; returns whether the placeholder stands in for it."""
    known = sys.modules.get("torchaudio")
    if known is not None:
        return getattr(known, "__version__", "") == VERSION
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
            del sys.modules[name]  # what the failed import left half made
        module = types.ModuleType("torchaudio", __doc__)
        module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", loader=None)
        module.__version__ = VERSION  # type: ignore[attr-defined]
        sys.modules["torchaudio"] = module
        return True
    return False


def forget_lazy_modules() -> None:
    """Call it after importing SpeechBrain. It leaves modules in `sys.modules` that import what is not
    installed (k2) as soon as anybody looks at them, and Dask looks at all."""
    for name, module in list(sys.modules.items()):
        if type(module).__module__ == "speechbrain.utils.importutils":
            del sys.modules[name]
