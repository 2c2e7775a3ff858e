"""LSE-C and LSE-D: lip synchronization measured by SyncNet, with weights that the user provides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.inputs import build_files
from evaluation.inputs.face_crops import EYES_DOWN, MEDIAN_FRAMES, SCALE, faces_of, video_of
from evaluation.inputs.pairs import Array, Pair, Recording, Samples, Unscorable
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import Measured, Metric, MetricInfo
from evaluation.models.weights import require_file, weights_sha256
from manifests.records import RunClip

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.models.syncnet import LipSync, SyncNet

HOW = "give the public syncnet_v2.model by --syncnet-weights PATH or FACETRON_SYNCNET_WEIGHTS"
SHORTEST_FRAMES = 10
"""Fewer windows are too few to search shifts in."""


def lip_sync(
    faces: NDArray[np.uint8], samples: Array, rate_hz: int, weights: Path | str
) -> LipSync:
    """LSE-D and LSE-C (Prajwal et al., 2020): the least distance of SyncNet's features of picture and
    sound over shifts of ±15 frames, and by how much it lies under their median.

    Args:
        faces: (T, 224, 224, 3) RGB at 25 frames per second, the mouth in the middle
            (`evaluation.inputs.face_crops` cuts them as the public pipeline does).
        samples: (n,) or (n, channels), floats of full scale ±1 or integers.
        rate_hz: of the samples; they are brought to 16 kHz.
        weights: the public `syncnet_v2.model`.

    Returns:
        `distance` (lower is better), `confidence` (higher is better) and `offset_frames`.

    Raises:
        Unscorable: there is no value; its `reason` is stable (`silent`, `length_mismatch`, …).
        BadInput: arrays that are no sound.

    Example:
        >>> import numpy as np
        >>> from evaluation import metrics
        >>> faces, speech = np.zeros((75, 224, 224, 3), np.uint8), np.zeros(48_000)
        >>> metrics.lip_sync(faces, speech, 16_000, "syncnet_v2.model").distance  # doctest: +SKIP
        8.1
    """
    from evaluation.models import syncnet

    network = syncnet.load_syncnet(Path(weights))
    heard = Recording(samples, rate_hz).samples
    n = syncnet.windows_of(len(faces), len(faces) * syncnet.SAMPLES_A_FRAME)
    return _search(network, network.lip_features(faces, n), heard)


def _search(network: SyncNet, lips: Tensor, samples: Samples) -> LipSync:
    """The shift at which lips and (n,) samples at 16 kHz fit best. Raises `Unscorable("too_short")`."""
    from evaluation.models import syncnet

    n = syncnet.windows_of(len(lips) + syncnet.WINDOW_FRAMES, len(samples))
    if n < SHORTEST_FRAMES:
        raise Unscorable("too_short", f"{n} windows of 0.2 s are too few")
    integers = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
    sound = network.audio_features(syncnet.mfcc(integers), n)
    return syncnet.search(lips[: len(sound)], sound)


class Lse(Metric):
    def __init__(self, weights: Path | None = None, corpus: Path | None = None) -> None:
        self.weights, self.corpus = weights, corpus
        sha256 = weights_sha256(weights)
        parameters: dict[str, Any] = {
            "weights_sha256": sha256,
            "source": sha256,
            "crop": [SCALE, EYES_DOWN, MEDIAN_FRAMES],
        }
        note = f"SyncNet weights: sha256 {sha256[:8]}…." if sha256 else ""
        self.info = type(self).info.variant(parameters=parameters, note=note)

    @classmethod
    def configured(cls, settings: Settings) -> Metric:
        return cls(settings.syncnet_weights, settings.video_corpus)

    @classmethod
    def wanted(cls, settings: Settings) -> bool:
        return settings.syncnet_weights is not None

    def require(self) -> None:
        super().require()
        require_file(self.weights, self.info.name, HOW, "SyncNet's")

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        recording = root / clip.reference if clip.reference else None
        try:
            build, row = build_files.row_of(recording, clip)
            landmarks = build_files.artifact(recording, clip, "landmarks")
        except Unscorable as failure:
            return [failure.reason]
        try:
            video_of(build, row, self.corpus)
        except Unscorable as failure:  # a video that comes to light later is worth another look
            return [weights_sha256(landmarks), row.source_sha256, failure.reason]
        return [weights_sha256(landmarks), row.source_sha256, ""]

    def measure(self, pair: Pair) -> Measured:
        from evaluation.models import syncnet

        if self.weights is None:
            raise Unscorable("no_weights", "no weights were given")
        side = pair.degraded
        samples = side.samples
        network = syncnet.load_syncnet(self.weights)

        def look() -> Any:
            faces = faces_of(pair.reference_path, pair.clip, self.corpus, syncnet.SIDE_PX)
            n = syncnet.windows_of(len(faces), len(faces) * syncnet.SAMPLES_A_FRAME)
            return network.lip_features(faces, n)

        def listen() -> LipSync:
            # The lips are the recording's: every system of the clip and its floor share them.
            keeper = pair.reference if pair.reference_path else pair.degraded
            lips = keeper.once(f"syncnet lips {self.weights}", look)
            return _search(network, lips, samples)

        found = side.once(f"syncnet {self.weights}", listen)
        details = {
            "lse_c": round(found.confidence, 5),
            "lse_d": round(found.distance, 5),
            "offset_frames": found.offset_frames,
        }
        # Below the fifth digit it depends on the number of threads.
        return Measured(round(self.of(found.distance, found.confidence), 5), details=details)

    def of(self, distance: float, confidence: float) -> float:
        return distance


class LseD(Lse):
    info = MetricInfo(
        name="lse_d",
        label="LSE-D",
        unit="",
        direction="lower",
        definition=(
            "Lip-sync error, distance: mean distance of SyncNet's features of video and audio at the "
            "shift within ±15 frames where it is least. Faces are cropped from the source video by the "
            "build's landmarks, as the public pipeline crops them by its detector; clips of fewer than "
            "100 frames, which that pipeline drops, are scored too."
        ),
        citation="Chung and Zisserman, ACCV workshop 2016; Prajwal et al., ACM MM 2020",
        license="MIT (the public weights have their own terms)",
        group="sync",
        decimals=2,
        needs_reference=False,
        has_floor=True,
        libraries=("torch", "opencv"),
    )


class LseC(Lse):
    info = LseD.info.variant(
        name="lse_c",
        label="LSE-C",
        direction="higher",
        definition=(
            "Lip-sync error, confidence: median of the distance over all shifts minus the least "
            "distance (LSE-D)."
        ),
        has_floor=True,
    )

    def of(self, distance: float, confidence: float) -> float:
        return confidence
