"""A SpeechBrain recognizer from a folder that the user has: `hyperparams.yaml` and its checkpoints.

The folder's YAML decides which Python objects are made, so it is code: use folders that you trust.
Nothing is downloaded; a YAML that fetches from a hub needs its `pretrained_path` set to the folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.inputs.pairs import Samples
from evaluation.models.recognizer import AcousticRecognizer
from evaluation.models.torchaudio_placeholder import ensure_torchaudio, forget_lazy_modules
from evaluation.models.weights import weights_sha256
from manifests.errors import BadInput, MissingDependency, in_short
from manifests.versions import library_version

YAML = "hyperparams.yaml"


class SpeechBrainPretrained(AcousticRecognizer):
    name = "speechbrain-pretrained"

    def __init__(self, path: Path | None = None, label: str = "") -> None:
        self.path = path
        self.label = f"SpeechBrain {path.name}" if path else "SpeechBrain"
        self.parameters: dict[str, Any] = {
            "weights_sha256": weights_sha256(path),
            "versions": {name: library_version(name) for name in ("speechbrain", "torch")},
        }

    def require(self) -> None:
        if self.path is None or not (self.path / YAML).is_file():
            given = "" if self.path is None else f": {self.path} holds no {YAML}"
            raise MissingDependency(
                f"the recognizer {self.name} needs a folder{given}",
                f"give --recognizer-path FOLDER with {YAML} and its checkpoints",
            )
        if library_version("speechbrain") == "absent":
            raise MissingDependency(
                f"the recognizer {self.name} needs speechbrain",
                "pip install 'facetron-toolkit[eval]'",
            )

    def transcribe(self, sounds: Sequence[Samples]) -> list[str]:
        import torch

        assert self.path is not None
        model = _load(self.path)
        longest = max(len(sound) for sound in sounds)
        batch = torch.zeros(len(sounds), longest)
        for row, sound in zip(batch, sounds, strict=True):
            row[: len(sound)] = torch.from_numpy(sound.astype(np.float32))
        shares = torch.tensor([len(sound) / longest for sound in sounds])
        with torch.inference_mode():
            texts, _ = model.transcribe_batch(batch, shares)
        return [text if isinstance(text, str) else " ".join(text) for text in texts]


@lru_cache(maxsize=1)
def _load(path: Path) -> Any:
    ensure_torchaudio()
    from speechbrain.inference import ASR
    from speechbrain.utils.fetching import LocalStrategy

    forget_lazy_modules()

    # The two kinds of SpeechBrain's recognizers differ in what their YAML defines.
    text = (path / YAML).read_text(encoding="utf-8", errors="replace")
    plain_ctc = re.search(r"^decoding_function\s*:", text, re.MULTILINE) is not None
    kind = ASR.EncoderASR if plain_ctc else ASR.EncoderDecoderASR
    try:
        return kind.from_hparams(
            source=str(path),
            savedir=str(path),
            local_strategy=LocalStrategy.NO_LINK,
            run_opts={"device": "cpu"},
        )
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise BadInput(
            f"{path} cannot be loaded by SpeechBrain ({in_short(error, 200)})", "check it"
        ) from None
