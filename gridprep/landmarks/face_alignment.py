"""The landmark backend `face-alignment`: FAN (Bulat & Tzimiropoulos, ICCV 2017), on CPU or GPU.

The API of the library face-alignment detects every face anew and runs FAN on one crop at a time.
Here a face is detected once per clip and followed by its own 68 landmarks (`tracking`), and FAN runs
in real batches over stacked crops.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridprep.landmarks import heatmaps
from gridprep.landmarks.base import IBUG_68, Frames, checked_who, empty_points, looked_at
from gridprep.landmarks.devices import checked_device, deterministic, use_bfloat16
from gridprep.landmarks.tracking import FaceTracker
from gridprep.landmarks.weights import FoundWeights, WeightFile, find_weights, load_tensors
from manifests.errors import BadInput, MissingDependency
from manifests.records import Landmarks
from manifests.versions import ABSENT, library_version

REVISION = "1"
"""Raised when the same weights and options would give other points."""

FAN_FILE = "2DFAN4-11f355bf06.pth.tar"

DETECTOR_FILES: dict[str, tuple[str, ...]] = {
    "sfd": ("s3fd-619a316812.pth",),
    "blazeface": ("blazeface.pth", "anchors.npy"),
    "retinaface": ("retinaface_mobilenet0.25.pth",),
    "yunet": ("face_detection_yunet_2023mar.onnx",),
    "scrfd": ("scrfd_2.5g_bnkps.onnx",),
}
"""Detectors of the library and the files that each needs, the network first."""


@dataclass(frozen=True)
class FaceAlignmentOptions:
    """Options of the backend, given as text (`LandmarkSpec.options`)."""

    detector: str = "sfd"
    fan_weights: str = ""
    """Local copy of `2DFAN4-11f355bf06.pth.tar`; "" is torch's cache, else the network."""
    detector_weights: str = ""
    """Local copy of the detector's network; further files lie beside it."""
    flip: bool = False
    """Average with the mirrored crop: twice the time."""
    precision: str = "auto"
    """`float32`, `bfloat16`, or `auto`: bfloat16 on GPUs that have it, float32 elsewhere."""
    batch_size: int = 0
    """Crops that FAN sees at once; 0 is 16 on a CPU and 64 on a GPU."""
    key_every: int = 12
    """Distance of key frames, in frames."""
    min_confidence: float = 0.2
    """Least mean peak height of the 68 heat maps (1 is a perfect one) to believe in a face."""
    who: str = ""
    """Face to use where there are several; see `choose_face`."""

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> FaceAlignmentOptions:
        """Raises `BadInput` for a value that does not fit."""
        values: dict[str, Any] = {}
        for name, text in given.items():
            default = getattr(cls, name)
            try:
                if isinstance(default, bool):
                    values[name] = {"true": True, "1": True, "false": False, "0": False}[
                        text.lower()
                    ]
                else:
                    values[name] = type(default)(text)
            except (KeyError, ValueError):
                kind = "true or false" if isinstance(default, bool) else type(default).__name__
                raise BadInput(
                    f"option {name}={text!r} of face-alignment", f"give {kind}"
                ) from None
        options = cls(**values)
        if options.detector not in DETECTOR_FILES:
            raise BadInput(
                f"face-alignment has no detector {options.detector!r}",
                f"choose from {', '.join(DETECTOR_FILES)}",
            )
        if options.precision not in ("auto", "float32", "bfloat16"):
            raise BadInput(
                f"option precision={options.precision!r}", "give auto, float32 or bfloat16"
            )
        checked_who(options.who)
        if options.batch_size < 0 or options.key_every < 1:
            raise BadInput("options batch_size and key_every of face-alignment", "give ≥ 0 and ≥ 1")
        return options


class FaceAlignmentBackend:
    """The backend that runs FAN; see `LandmarkBackend` for the interface.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        options: see `FaceAlignmentOptions`.
        fan: a network (N, 3, 256, 256) in [0, 1] → (N, 68, 64, 64) or a list whose last item is
            that; the library's FAN with its weights when None.
        detector: something with `detect_from_image(frame) → boxes with scores` and
            `reference_scale`; the library's detector with its weights when None.

    Weights are found and checked at once, so that a build fails before its first clip; networks are
    loaded at the first clip.
    """

    name = "face-alignment"

    def __init__(
        self,
        device: str = "cpu",
        options: Mapping[str, str] | None = None,
        *,
        fan: Callable[[Any], Any] | None = None,
        detector: Any = None,
    ) -> None:
        self.options = FaceAlignmentOptions.parse(options or {})
        self.device = checked_device(device)
        library = library_version("face-alignment")
        if library == ABSENT:
            raise MissingDependency(
                "landmark backend face-alignment needs the library of that name",
                "pip install 'facetron-toolkit[face-alignment]'",
            )
        self._fan, self._detector = fan, detector
        self._files: list[FoundWeights] = []
        if fan is None or detector is None:
            self._files = find_weights(_weight_files(self.options))
        self._bfloat16 = use_bfloat16(self.options.precision, self.device)
        self._batch_size = self.options.batch_size or (16 if self.device == "cpu" else 64)
        digests = [file.sha256[:10] for file in self._files] or ["custom"]
        self.version = "/".join(
            [library, REVISION, self.options.detector, *digests]
            + (["bfloat16"] if self._bfloat16 else [])
        )

    def detect(self, frames: Frames, every: int = 1) -> Landmarks:
        """See `LandmarkBackend.detect`."""
        self._load()
        n = len(frames)
        looked = looked_at(n, every)
        keys = looked[looked_at(len(looked), max(1, self.options.key_every // every))]
        with deterministic():
            track = FaceTracker(frames, self._detector, self._fit, self.options.who).follow(
                looked, keys
            )
        points, found, faces = empty_points(n), np.zeros(n, np.bool_), np.zeros(n, np.int16)
        for index, count in track.faces.items():
            faces[index] = count
        for index, all_points in track.points.items():
            points[index] = all_points[list(IBUG_68)]
            found[index] = True
            faces[index] = max(faces[index], 1)
        return Landmarks(points, found, faces, f"{self.name} {self.version}", track.choice)

    def close(self) -> None:
        """Frees the networks; the next `detect` would load them again."""
        if self._files:
            self._fan = self._detector = None

    def _fit(
        self, frames: Frames, squares: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """FAN in batches: (N, 68, 2) pixel coordinates, (N,) face or not."""
        points = np.empty((len(frames), 68, 2), np.float32)
        good = np.zeros(len(frames), np.bool_)
        for start in range(0, len(frames), self._batch_size):
            batch = slice(start, start + self._batch_size)
            crops = np.stack(
                [heatmaps.cut(f, s) for f, s in zip(frames[batch], squares[batch], strict=True)]
            )
            cells, heights = heatmaps.peaks(self._heatmaps(crops))
            points[batch] = heatmaps.to_frame(cells, squares[batch])
            good[batch] = heatmaps.is_face(
                points[batch], heights, squares[batch], self.options.min_confidence
            )
        return points, good

    def _heatmaps(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 256, 256, 3) crops → (N, 68, 64, 64) heat maps."""
        import torch

        def run(batch: torch.Tensor) -> torch.Tensor:
            assert self._fan is not None
            out = self._fan(batch)
            last: torch.Tensor = out[-1] if isinstance(out, list | tuple) else out
            return last.float()

        kind = self.device.split(":")[0]
        try:
            with (
                torch.inference_mode(),
                torch.autocast(kind, torch.bfloat16, enabled=self._bfloat16),
            ):
                # A view of (N, H, W, 3) pixels is channels-last already: 1.5 × faster on a CPU.
                batch = torch.from_numpy(crops).permute(0, 3, 1, 2).to(self.device).float() / 255
                heat = run(batch)
                if self.options.flip:
                    from face_alignment.utils import flip

                    heat = (heat + flip(run(batch.flip(-1)), is_label=True)) / 2
                out: NDArray[np.float32] = heat.cpu().numpy()
        except torch.OutOfMemoryError:
            raise BadInput(
                f"GPU memory is too small for {len(crops)} crops at once",
                "lower --landmark-option batch_size=N",
            ) from None
        return out

    def _load(self) -> None:
        """Loads what was not given, from files that were found and checked before."""
        if self._fan is None:
            self._fan = load_fan(self._files[0].path, self.device)
        if self._detector is None:
            paths = [file.path for file in self._files[1:]]
            self._detector = load_detector(self.options.detector, paths, self.device)


def load_fan(path: Path, device: str) -> Any:
    """The library's FAN with weights from a state dict; the number of stacked hourglasses is read
    from it. Raises `BadInput` where the file holds something else."""
    import torch
    from face_alignment.models import FAN

    state = load_tensors(path)
    stacked = sum(re.fullmatch(r"l\d+\.weight", name) is not None for name in state)
    net = FAN(stacked)
    try:
        net.load_state_dict(state)
    except RuntimeError:
        raise BadInput(
            f"{path} holds weights, but not FAN's",
            f"give {FAN_FILE} as --landmark-option fan_weights=PATH",
        ) from None
    return net.eval().to(device, memory_format=torch.channels_last)


def load_detector(name: str, files: Sequence[Path], device: str) -> Any:
    """One of the library's face detectors with local weights.

    Raises: `BadInput` for files that are not its weights; `MissingDependency` where the detector
        needs a further library.
    """
    # ONNX files are read by OpenCV or onnxruntime; pickled ones are checked to be tensors only.
    if files[0].suffix == ".pth":
        load_tensors(files[0])
    arguments = {"path_to_detector": str(files[0])}
    if name == "blazeface":
        arguments["path_to_anchor"] = str(files[1])
    try:
        module = importlib.import_module(f"face_alignment.detection.{name}")
        return module.FaceDetector(device=device, verbose=False, **arguments)
    except ImportError as error:
        reason = str(error).split(". ")[0]
        raise MissingDependency(
            f"face detector {name} cannot be used ({reason})",
            "install that library or pass --landmark-option detector=sfd",
        ) from None
    except Exception as error:  # each detector's own reader has errors of its own
        reason = str(error).strip().splitlines()[0][:120]
        raise BadInput(
            f"{files[0]} cannot be loaded by the face detector {name} ({reason})",
            "give its own weights as --landmark-option detector_weights=PATH",
        ) from None


def _weight_files(options: FaceAlignmentOptions) -> list[WeightFile]:
    """FAN's file, then the detector's, with the addresses that the library itself uses."""
    urls = _library_urls(options.detector)
    network, *others = DETECTOR_FILES[options.detector]
    given = options.detector_weights
    return [
        WeightFile(FAN_FILE, urls[0], "fan_weights", options.fan_weights),
        WeightFile(network, urls[1], "detector_weights", given),
        *(
            WeightFile(
                name, url, "detector_weights", str(Path(given).with_name(name)) if given else ""
            )
            for name, url in zip(others, urls[2:], strict=True)
        ),
    ]


def _library_urls(detector: str) -> list[str]:
    try:
        api = importlib.import_module("face_alignment.api")
        module = importlib.import_module(f"face_alignment.detection.{detector}.{detector}_detector")
    except ImportError as error:
        raise MissingDependency(
            f"landmark backend face-alignment cannot be imported ({error})",
            "pip install 'facetron-toolkit[face-alignment]'",
        ) from None
    # Detectors of one network publish `model_url`, the others a dictionary that starts with it.
    published = getattr(module, "models_urls", None)
    urls = list(published.values()) if published else [module.model_url]
    return [api.models_urls["2DFAN-4"], *urls[: len(DETECTOR_FILES[detector])]]
