"""The face-alignment backend on networks that know the truth, and on the library's own.

Frames are ramps: red is x, green is y, blue the frame's number. The stand-in network reads from a
crop where each of its cells lies in the frame and puts 68 peaks on the points that belong to that
frame's number, so the whole way (box, crop, heat map, back to the frame) is checked against truth.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gridprep.landmarks.base import IBUG_68
from gridprep.landmarks.face_alignment import FaceAlignmentBackend, FaceAlignmentOptions
from manifests import records
from manifests.errors import BadInput, MissingDependency
from manifests.records import POINT_NAMES

pytest.importorskip("face_alignment")

SIZE_PX = 256


def face_points(t: int) -> np.ndarray:
    """(68, 2) a face 80 px wide that drifts by 0.37 px a frame."""
    rng = np.random.default_rng(0)
    return np.array([118.0, 128.0]) + rng.uniform(-42, 42, (68, 2)) + np.array([0.37, -0.21]) * t


def ramps(numbers: list[int]) -> np.ndarray:
    """(T, 256, 256, 3); number 255 stands for a frame without a face."""
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX]
    return np.stack([np.stack([x, y, np.full_like(x, t)], -1) for t in numbers]).astype(np.uint8)


class TruthNet:
    """Heat maps with peaks where the points of a crop's frame are; counts its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, crops: torch.Tensor) -> list[torch.Tensor]:
        assert crops.shape[1:] == (3, 256, 256)
        assert crops.min() >= 0
        assert crops.max() <= 1
        self.batches.append(len(crops))
        cells = torch.nn.functional.avg_pool2d(crops.float() * 255, 4)
        numbers = crops[:, 2].amax((1, 2)).mul(255).round().int().tolist()
        maps = []
        for cell, t in zip(cells, numbers, strict=True):
            points = torch.from_numpy(face_points(t)).float()
            dx = cell[0][None] - points[:, 0, None, None]
            dy = cell[1][None] - points[:, 1, None, None]
            maps.append(torch.exp(-(dx**2 + dy**2) / 18) * (0.05 if t == 255 else 0.9))
        return [torch.zeros(1), torch.stack(maps)]


class TruthDetector:
    """Boxes from the frame's number, in the form of the library; counts its calls."""

    reference_scale = 195

    def __init__(self, extra: list[list[float]] | None = None) -> None:
        self.looked: list[int] = []
        self.extra = extra or []

    def detect_from_image(self, frame: np.ndarray) -> list[np.ndarray]:
        t = int(frame[0, 0, 2])
        self.looked.append(t)
        if t == 255:
            return []
        points = face_points(t)
        box = np.array([*points.min(0) - 4, *points.max(0) + 6, 0.99])
        return [*(np.array(other) for other in self.extra), box]


def backend(**options: str) -> tuple[FaceAlignmentBackend, TruthNet, TruthDetector]:
    net, detector = TruthNet(), TruthDetector()
    return FaceAlignmentBackend(options=options, fan=net, detector=detector), net, detector


def truth(numbers: list[int]) -> np.ndarray:
    return np.stack([face_points(t)[list(IBUG_68)] for t in numbers])


def test_points_lie_where_they_are_to_less_than_a_pixel() -> None:
    numbers = list(range(30))
    made, _, _ = backend()
    found = made.detect(ramps(numbers))
    assert found.points_px.shape == (30, len(POINT_NAMES), 2)
    assert found.points_px.dtype == np.float32
    assert found.found.all()
    error = found.points_px - truth(numbers)
    assert np.abs(error).max() < 1.0
    assert np.abs(error.mean((0, 1))).max() < 0.1  # no systematic shift


def test_one_detection_a_clip_and_full_batches() -> None:
    made, net, detector = backend(batch_size="16")
    found = made.detect(ramps(list(range(75))))
    assert detector.looked == [0]
    assert net.batches == [8, 16, 16, 16, 16, 11]  # key frames, then all
    assert found.faces.tolist() == [1] * 75
    assert found.choice == "only"


def test_batch_size_does_not_move_the_points() -> None:
    frames = ramps(list(range(25)))
    one, many = backend(batch_size="1")[0], backend(batch_size="64")[0]
    assert np.array_equal(one.detect(frames).points_px, many.detect(frames).points_px)


def test_every_kth_frame() -> None:
    made, net, _ = backend()
    found = made.detect(ramps(list(range(12))), every=5)
    assert np.flatnonzero(found.found).tolist() == [0, 5, 10, 11]
    assert np.isnan(found.points_px[~found.found]).all()
    assert net.batches[-1] == 4


def test_frames_without_a_face_are_rows_of_nan() -> None:
    numbers = [255, 255, *range(2, 20), 255, 255, *range(22, 30)]
    made, _, detector = backend()
    found = made.detect(ramps(numbers))
    assert np.flatnonzero(~found.found).tolist() == [0, 1, 20, 21]
    assert np.isnan(found.points_px[[0, 1, 20, 21]]).all()
    assert found.faces[[0, 1, 20, 21]].tolist() == [0, 0, 0, 0]
    seen = [t for t in numbers if t != 255]
    assert np.abs(found.points_px[found.found] - truth(seen)).max() < 1
    assert set(detector.looked) <= {255, *range(2, 13)}  # the face itself is not detected each time


def test_clip_without_any_face_asks_the_detector_on_key_frames_only() -> None:
    made, net, detector = backend()
    found = made.detect(ramps([255] * 75))
    assert not found.found.any()
    assert np.isnan(found.points_px).all()
    assert len(detector.looked) == 8
    assert net.batches == []


def test_lost_track_is_detected_again() -> None:
    # From frame 13 on the face is 60 frames' drift away: 22 px, and 100 px from frame 20.
    numbers = [*range(13), *range(60, 67), *range(200, 210)]
    made, _, detector = backend()
    found = made.detect(ramps(numbers))
    assert found.found.all()
    assert np.abs(found.points_px - truth(numbers)).max() < 1
    assert len(detector.looked) < len(numbers) / 2


def test_several_faces_keep_the_central_one_and_say_so() -> None:
    corner = [200.0, 5.0, 250.0, 60.0, 0.9]
    net, detector = TruthNet(), TruthDetector([corner])
    found = FaceAlignmentBackend(fan=net, detector=detector).detect(ramps(list(range(6))))
    assert found.choice == "central_largest"
    assert found.faces.tolist() == [2, 1, 1, 1, 1, 1]
    assert np.abs(found.points_px - truth(list(range(6)))).max() < 1


def test_no_frames() -> None:
    made, _, _ = backend()
    assert made.detect(np.zeros((0, 288, 360, 3), np.uint8)).points_px.shape == (0, 20, 2)


def test_flip_averages_the_mirrored_crop() -> None:
    class Counting(TruthNet):
        mirrored = 0

        def __call__(self, crops: torch.Tensor) -> list[torch.Tensor]:
            if crops[0, 0, 128, 30] > crops[0, 0, 128, 200]:
                self.mirrored += 1
                shift = self._shuffled(super().__call__(crops.flip(-1))[-1])
                return [shift]
            return super().__call__(crops)

        @staticmethod
        def _shuffled(maps: torch.Tensor) -> torch.Tensor:
            from face_alignment.utils import flip

            out: torch.Tensor = flip(maps, is_label=True)
            return out

    net = Counting()
    made = FaceAlignmentBackend(options={"flip": "true"}, fan=net, detector=TruthDetector())
    found = made.detect(ramps([0, 1]))
    assert net.mirrored == 2
    assert np.abs(found.points_px - truth([0, 1])).max() < 1


def test_bfloat16_is_an_option_on_the_cpu() -> None:
    plain, half = backend()[0], backend(precision="bfloat16")[0]
    assert half.version.endswith("/bfloat16")
    assert plain.version != half.version

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Conv2d(3, 68, 4, stride=4)
            self.seen: torch.dtype | None = None

        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.net(crops)
            self.seen = out.dtype
            return out

    net = Mean()
    made = FaceAlignmentBackend(
        options={"precision": "bfloat16"}, fan=net, detector=TruthDetector()
    )
    made.detect(ramps([0]))
    assert net.seen == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("detector", "folder", "choose from sfd, blazeface"),
        ("precision", "half", "give auto, float32 or bfloat16"),
        ("batch_size", "many", "give int"),
        ("batch_size", "-1", "give ≥ 0"),
        ("flip", "maybe", "give true or false"),
        ("min_confidence", "x", "give float"),
    ],
)
def test_bad_options(name: str, value: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        FaceAlignmentOptions.parse({name: value})


def test_cuda_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"device cuda:0: PyTorch .* sees no CUDA GPU"):
        FaceAlignmentBackend("cuda:0", fan=TruthNet(), detector=TruthDetector())
    with pytest.raises(BadInput, match="unknown device 'tpu'"):
        FaceAlignmentBackend("tpu", fan=TruthNet(), detector=TruthDetector())


def test_absent_weights_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    api = pytest.importorskip("face_alignment.api")
    monkeypatch.setitem(api.models_urls, "2DFAN-4", "http://127.0.0.1:9/fan")
    with pytest.raises(MissingDependency) as caught:
        FaceAlignmentBackend()
    message = str(caught.value)
    for part in ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth", "fan_weights=PATH", "hub"):
        assert part in message
    assert "\n" not in message


def save_hashed(state: object, folder: Path, stem: str) -> Path:
    plain = folder / "plain"
    torch.save(state, plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    return plain.rename(folder / f"{stem}-{digest[:10]}.pth")


def test_the_librarys_networks_run_from_files(tmp_path: Path) -> None:
    """Random weights through the public entry: loading, hashing, real layers, real detector."""
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    torch.manual_seed(0)
    fan = save_hashed(FAN(1).state_dict(), tmp_path, "2DFAN1")
    sfd = save_hashed(s3fd().state_dict(), tmp_path, "s3fd")
    options = {"fan_weights": str(fan), "detector_weights": str(sfd), "min_confidence": "-9"}
    made = FaceAlignmentBackend(options=options)
    assert fan.name.split("-")[1][:10] in made.version
    frames = np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3), np.uint8)
    first = made.detect(frames)
    assert first.points_px.shape == (2, 20, 2)
    assert np.array_equal(first.points_px, made.detect(frames).points_px, equal_nan=True)
    made.close()
    made.close()
    with pytest.raises(BadInput, match="not FAN's"):
        FaceAlignmentBackend(
            options={"fan_weights": str(sfd), "detector_weights": str(sfd)}
        ).detect(frames)
    with pytest.raises(BadInput, match="cannot be loaded by the face detector sfd"):
        FaceAlignmentBackend(
            options={"fan_weights": str(fan), "detector_weights": str(fan)}
        ).detect(frames)


def test_numbers_of_the_68_points_follow_the_contract() -> None:
    source = Path(records.__file__).read_text(encoding="utf-8")
    listed = re.findall(r'^    "(\w+)",  # (\d+)$', source, re.MULTILINE)
    assert [name for name, _ in listed] == list(POINT_NAMES)
    assert [int(number) for _, number in listed] == list(IBUG_68)
