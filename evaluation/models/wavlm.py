"""WavLM, HuBERT and wav2vec 2.0 from folders that transformers saved: the frames of one of their layers,
and voices by a head that was trained to verify speakers. Nothing is downloaded, and no code of a folder
is run.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs.pairs import SCORING_RATE_HZ, Samples, Unscorable
from evaluation.models.torchaudio_placeholder import ensure_torchaudio
from manifests.errors import BadInput, MissingDependency
from manifests.io import read_json
from manifests.versions import library_version

HEARERS = ("hubert", "wav2vec2", "wavlm")
"""Kinds of networks (`model_type` of config.json) that turn a wave into frames of 20 ms."""
VERIFIERS = ("WavLMForXVector", "Wav2Vec2ForXVector", "UniSpeechSatForXVector")
"""Architectures with a head for voices."""
OF_TRAINING = "masked_spec_embed"
"""Weights of training alone, which a folder may lack."""
LEAST_S = 0.5
"""Less gives the head for voices too few frames (15)."""
PAPER_LAYERS, PAPER_LAYER = 24, 14
"""SpeechBERTScore's best setting: layer 14 of WavLM-large."""


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder.

    Raises:
        BadInput: there is none, or it is no JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(
            f"{folder} holds no config.json",
            "give a folder that transformers' save_pretrained wrote",
        )
    found = read_json(path)
    if not isinstance(found, dict):
        raise BadInput(f"{path} is no configuration of a network", "check the path")
    return found


def require_folder(folder: Path | None, metric: str, option: str) -> None:
    """Raises `MissingDependency` where there is no folder or no transformers."""
    how = f"give a folder that transformers saved by {option} FOLDER"
    if folder is None:
        raise MissingDependency(f"{metric} needs a network", how)
    if not folder.is_dir():
        raise MissingDependency(f"{metric}: {folder} is no folder", how)
    if library_version("transformers") == "absent":
        raise MissingDependency(f"{metric} needs transformers", "pip install transformers")


def layer_of(config: dict[str, Any], layer: int | None, folder: Path) -> int:
    """The layer that is heard: 0 is what enters the transformer, n what leaves the last of its n layers.
    None is 14 of 24, as in the paper, and the last one of other networks.

    Raises:
        BadInput: another kind of network, or one without such a layer.
    """
    kind, n = config.get("model_type"), config.get("num_hidden_layers")
    if kind not in HEARERS or not isinstance(n, int):
        raise BadInput(
            f"{folder} holds a network of type {kind!r}", f"give one of {', '.join(HEARERS)}"
        )
    if layer is None:
        return PAPER_LAYER if n == PAPER_LAYERS else n
    if not 0 <= layer <= n:
        raise BadInput(f"{folder} has no layer {layer}", f"choose from 0 to {n}")
    return layer


def frames(folder: Path, layer: int, samples: Samples) -> NDArray[np.float32]:
    """(T, D) states of a layer, one every 20 ms, of (n,) mono samples at 16 kHz, which enter as they are:
    nothing is normalized, as in the original of SpeechBERTScore.

    Raises:
        BadInput: the folder holds no such network.
    """
    import torch

    network = _load(folder, "AutoModel")
    heard = torch.from_numpy(np.asarray(samples, dtype=np.float32)).unsqueeze(0)
    with torch.inference_mode():
        states = network(heard, output_hidden_states=True).hidden_states[layer]
    return np.asarray(states[0].numpy(), dtype=np.float32)


def embed_voice(folder: Path, samples: Samples) -> NDArray[np.float64]:
    """(E,) of unit length: a voice by the head for speakers, of (n,) mono samples at 16 kHz.

    Raises:
        Unscorable: `too_short`.
        BadInput: the folder holds no network with such a head.
    """
    import torch

    if len(samples) < LEAST_S * SCORING_RATE_HZ:
        raise Unscorable("too_short", f"{len(samples) / SCORING_RATE_HZ:.2f} s tell nobody's voice")
    network, extractor = _load(folder, "AutoModelForAudioXVector"), _extractor(folder)
    given = extractor(
        np.asarray(samples, dtype=np.float32), sampling_rate=SCORING_RATE_HZ, return_tensors="pt"
    )
    with torch.inference_mode():
        found = network(given["input_values"]).embeddings[0].double().numpy()
    return np.asarray(found / np.linalg.norm(found), dtype=np.float64)


def check_verifier(config: dict[str, Any], folder: Path) -> None:
    """Raises `BadInput` where a folder's network has no head for voices: transformers would put one of
    random numbers there."""
    if not set(config.get("architectures") or ()) & set(VERIFIERS):
        raise BadInput(
            f"{folder} holds no network that was trained to verify speakers",
            f"give one of {', '.join(VERIFIERS)}, such as wavlm-base-plus-sv",
        )


@lru_cache(maxsize=2)
def _load(folder: Path, kind: str) -> Any:
    ensure_torchaudio()
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        network, found = getattr(transformers, kind).from_pretrained(
            str(folder), local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # whatever transformers raises for a folder that is not its own
        line = " ".join(str(error).split())[:160]
        raise BadInput(f"{folder} holds no such network ({line})", "check the path") from None
    absent = sorted(name for name in found["missing_keys"] if OF_TRAINING not in name)
    if absent:
        raise BadInput(
            f"{folder} lacks {len(absent)} of the network's weights ({absent[0]}, …)",
            "give the folder of a whole network",
        )
    return network.float().eval()


@lru_cache(maxsize=1)
def _extractor(folder: Path) -> Any:
    """Says whether the wave is to be normalized."""
    ensure_torchaudio()
    from transformers import AutoFeatureExtractor

    try:
        return AutoFeatureExtractor.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise BadInput(
            f"{folder} does not say how its network is fed ({line})",
            "put its preprocessor_config.json there",
        ) from None
