"""Whisper, with weights that the user has: a checkpoint of openai-whisper (a file) or a folder that
transformers saved. Nothing is downloaded. And OpenAI's normalizer of English, which papers count words
by, where one of the two packages is installed.

Each clip is decoded alone, greedily (temperature 0, no fallback to higher ones), in English, so that
the text depends on the clip and the weights only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples
from evaluation.models.recognizer import AcousticRecognizer
from evaluation.models.torchaudio_placeholder import ensure_torchaudio
from evaluation.models.weights import weights_sha256
from manifests.errors import BadInput, MissingDependency
from manifests.io import read_json
from manifests.versions import library_version


class Whisper(AcousticRecognizer):
    name = "whisper"

    def __init__(self, path: Path | None = None, label: str = "") -> None:
        self.path = path
        self.label = f"Whisper {path.name.removesuffix('.pt')}" if path else "Whisper"
        self.library = "transformers" if path is not None and path.is_dir() else "openai-whisper"
        self.parameters: dict[str, Any] = {
            "weights_sha256": weights_sha256(path),
            "decoding": "greedy, English",
            "versions": {name: library_version(name) for name in (self.library, "torch")},
        }

    def require(self) -> None:
        if self.path is None or not self.path.exists():
            given = "" if self.path is None else f": {self.path} does not exist"
            raise MissingDependency(
                f"the recognizer whisper needs its weights{given}",
                "give --recognizer-path MODEL.pt (openai-whisper) or a folder (transformers)",
            )
        if library_version(self.library) == "absent":
            raise MissingDependency(
                f"{self.path} needs {self.library}", f"pip install {self.library}"
            )

    def transcribe(self, sounds: Sequence[Samples]) -> list[str]:
        assert self.path is not None
        load = _load_folder if self.path.is_dir() else _load_file
        listen = load(self.path)
        return [listen(sound.astype(np.float32)).strip() for sound in sounds]


@lru_cache(maxsize=1)
def _load_file(path: Path) -> Any:
    import whisper

    try:
        model = whisper.load_model(str(path), device="cpu")
    except (RuntimeError, KeyError, ValueError, EOFError) as error:
        raise BadInput(f"{path} is no checkpoint of Whisper ({error})", "check the path") from None

    def listen(sound: Any) -> str:
        result = model.transcribe(
            sound,
            language="en",
            temperature=0.0,
            fp16=False,
            condition_on_previous_text=False,
            verbose=None,
        )
        return str(result["text"])

    return listen


@lru_cache(maxsize=1)
def _load_folder(path: Path) -> Any:
    import torch

    ensure_torchaudio()
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    try:
        processor = WhisperProcessor.from_pretrained(str(path), local_files_only=True)
        model = WhisperForConditionalGeneration.from_pretrained(str(path), local_files_only=True)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} holds no Whisper model ({error})", "check the path") from None
    model.eval()
    multilingual = getattr(model.generation_config, "is_multilingual", False)
    options = {"language": "en", "task": "transcribe"} if multilingual else {}

    def listen(sound: Any) -> str:
        features = processor(sound, sampling_rate=SCORING_RATE_HZ, return_tensors="pt")
        with torch.inference_mode():
            tokens = model.generate(
                features.input_features, do_sample=False, num_beams=1, **options
            )
        return str(processor.batch_decode(tokens, skip_special_tokens=True)[0])

    return listen


SPELLINGS = "normalizer.json"
"""In folders of transformers: British spellings and the American ones; openai-whisper has its own."""


def normalizer_library(folder: Path | None) -> str:
    """The distribution that normalizes: openai-whisper, or transformers where a folder of Whisper's has
    the list of spellings; "" where there is neither."""
    if library_version("openai-whisper") != "absent":
        return "openai-whisper"
    listed = folder is not None and (folder / SPELLINGS).is_file()
    return "transformers" if listed and library_version("transformers") != "absent" else ""


@lru_cache(maxsize=2)
def english_normalizer(folder: Path | None = None) -> Callable[[str], str]:
    """OpenAI's `EnglishTextNormalizer` (Radford et al., "Robust speech recognition via large-scale weak
    supervision", ICML 2023, appendix C).

    Args:
        folder: of a Whisper that transformers saved, where openai-whisper is not installed.

    Raises:
        MissingDependency: neither has it.
    """
    library = normalizer_library(folder)
    if not library:
        raise MissingDependency(
            "Whisper's normalizer needs openai-whisper, or transformers and a folder of Whisper's with "
            f"its {SPELLINGS}",
            "pip install openai-whisper",
        )
    made: Callable[[str], str]
    if library == "openai-whisper":
        from whisper.normalizers import EnglishTextNormalizer

        made = EnglishTextNormalizer()
    else:
        ensure_torchaudio()
        from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

        assert folder is not None
        made = EnglishTextNormalizer(read_json(folder / SPELLINGS))
    return made
