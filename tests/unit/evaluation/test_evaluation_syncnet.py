"""SyncNet: features, names and shapes as the public code and file have them, the search for the shift,
faces out of a video, and files that are no weights."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import tiny_clip
from evaluation_builds import mouthy, write_build, write_run_on
from numpy.typing import NDArray

from evaluation.inputs.face_crops import boxes, cut, faces_of
from evaluation.inputs.pairs import Unscorable, read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import select
from evaluation.models.syncnet import SyncNet, load_syncnet, mfcc, search, windows_of
from evaluation.scoring.run import score_runs
from manifests.errors import BadInput
from manifests.records import POINT_NAMES

Make = Callable[..., NDArray[np.float64]]
CLIP = "s1/bbaf2n"

SHAPES = {
    "netcnnaud.0.weight": (64, 1, 3, 3), "netcnnaud.4.weight": (192, 64, 3, 3),
    "netcnnaud.8.weight": (384, 192, 3, 3), "netcnnaud.11.weight": (256, 384, 3, 3),
    "netcnnaud.14.weight": (256, 256, 3, 3), "netcnnaud.18.weight": (512, 256, 5, 4),
    "netcnnlip.0.weight": (96, 3, 5, 7, 7), "netcnnlip.4.weight": (256, 96, 1, 5, 5),
    "netcnnlip.8.weight": (256, 256, 1, 3, 3), "netcnnlip.11.weight": (256, 256, 1, 3, 3),
    "netcnnlip.14.weight": (256, 256, 1, 3, 3), "netcnnlip.18.weight": (512, 256, 1, 6, 6),
    "netfcaud.0.weight": (512, 512), "netfcaud.3.weight": (1024, 512),
    "netfclip.0.weight": (512, 512), "netfclip.3.weight": (1024, 512),
}  # fmt: skip
"""Of the public `syncnet_v2.model`; the batch norms lie right after these but for the last layers."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the old file format that the public file has."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.model"
    state = {
        name: value
        for name, value in SyncNet().state_dict().items()
        if not name.endswith("num_batches_tracked")  # not yet there when it was written
    }
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


def test_names_and_shapes_are_the_public_ones() -> None:
    state = SyncNet().state_dict()
    found = {n: tuple(v.shape) for n, v in state.items() if n.endswith("weight") and v.ndim > 1}
    assert found == SHAPES
    assert sum(v.numel() for v in SyncNet().parameters()) == 13_631_616
    assert {name.split(".")[0] for name in state} == {
        "netcnnaud", "netfcaud", "netcnnlip", "netfclip",
    }  # fmt: skip
    assert state["netcnnlip.19.running_mean"].shape == (512,)
    assert state["netfclip.1.running_var"].shape == (512,)


def test_cepstra_are_those_of_python_speech_features() -> None:
    """Pinned with python_speech_features 0.6 (`mfcc(x, 16000)`)."""
    x = (np.random.default_rng(0).standard_normal(48_000) * 3000).astype(np.int16)
    found = mfcc(x)
    assert found.shape == (13, 299)
    expected = [
        [21.97337306, 22.08404321],
        [-37.1683707, -33.33402325],
        [-10.45319401, -3.73527278],
    ]
    assert found[:3, :2] == pytest.approx(np.array(expected), abs=1e-4)
    assert float(found.astype(np.float64).sum()) == pytest.approx(-15486.70466, abs=0.02)
    assert [mfcc(x[:n]).shape[1] for n in (300, 400, 401, 5000)] == [1, 1, 2, 30]
    assert np.isfinite(mfcc(np.zeros(1600, np.int16))).all()


def test_features_have_the_public_shapes(weights: Path) -> None:
    network = load_syncnet(weights)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (16, 224, 224, 3), dtype=np.uint8)
    lips = network.lip_features(frames, 12)
    assert lips.shape == (12, 1024)
    with torch.inference_mode():  # one window at a time, blue first, as the public code feeds it
        part = np.ascontiguousarray(frames[11:16, ..., ::-1]).astype(np.float32)
        x = torch.from_numpy(part).permute(3, 0, 1, 2)[None]
        alone = network.netfclip(network.netcnnlip(x).flatten(1))
    assert torch.allclose(lips[11], alone[0], atol=1e-4)
    sound = network.audio_features(mfcc(np.arange(48_000).astype(np.int16)), 70)
    assert sound.shape == (70, 1024)


def test_a_clip_of_three_seconds_counts() -> None:
    assert windows_of(75, 48_000) == 70
    assert windows_of(75, 44_640) == 64, "speech of 2.79 s"
    assert windows_of(5, 48_000) == 0


@pytest.mark.parametrize("shift", [-9, 0, 4])
def test_the_shift_is_found(shift: int) -> None:
    """Features of the sound come `shift` frames after the lips'."""
    rng = np.random.default_rng(1)
    deep = torch.from_numpy(rng.standard_normal((110, 1024)).astype(np.float32))
    lips = deep[20:90]
    sound = deep[20 - shift : 90 - shift] + 0.1 * torch.randn(
        70, 1024, generator=torch.manual_seed(2)
    )
    found = search(lips, sound)
    assert found.offset_frames == -shift
    assert found.distance < 0.4 * found.confidence, "where they agree they lie close"
    lost = search(lips, deep[torch.randperm(110, generator=torch.manual_seed(3))[:70]])
    assert lost.confidence < 0.3 * found.confidence
    assert lost.distance > 3 * found.distance


def test_distance_and_confidence_by_hand() -> None:
    """Two points on a line; beyond the ends stand zeros, and PyTorch adds 1e-6 to each difference."""
    lips, sound = torch.tensor([[3.0], [5.0]]), torch.tensor([[3.0], [9.0]])
    found = search(lips, sound, largest_shift=1)
    # Sound late by −1: (3, 5−3) → 2.5; by 0: (0, 4) → 2; by 1: (6, 5) → 5.5.
    assert found.distance == pytest.approx(2, abs=1e-4)
    assert found.confidence == pytest.approx(0.5, abs=1e-4)
    assert found.offset_frames == 0


def test_what_is_no_syncnet_is_refused(tmp_path: Path, weights: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "harmed",))  # type: ignore[return-value]

    state = torch.load(weights, weights_only=True)
    files = {
        "pickle.model": pickle.dumps(Harm()),
        "text.model": b"not weights",
        "empty.model": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"netcnnaud.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "lacks.model")
    torch.save({**state, "more": torch.zeros(1)}, tmp_path / "more.model")
    torch.save({**state, "netfclip.3.bias": torch.zeros(7)}, tmp_path / "shape.model")
    torch.save([1, 2], tmp_path / "list.model")
    for name in (*files, "lacks.model", "more.model", "shape.model", "list.model"):
        with pytest.raises(BadInput, match=f"{name} is no SyncNet"):
            load_syncnet(tmp_path / name)
    assert not (tmp_path / "harmed").exists(), "nothing in the file was run"


def test_boxes_are_in_the_face_and_steady() -> None:
    points = mouthy(np.zeros(75)).astype(np.float64)
    track = boxes(points)
    assert track.std(axis=0) == pytest.approx(0, abs=1e-6)
    x, y, s = track[0]
    chin = points[0, POINT_NAMES.index("chin")]
    assert y + s == pytest.approx(chin[1], abs=1)
    assert abs(x - points[0, POINT_NAMES.index("nose_tip"), 0]) < 0.2 * s
    jumped = points.copy()
    jumped[30] += 40
    assert boxes(jumped) == pytest.approx(track), "one wrong frame moves nothing"
    blind = points.copy()
    blind[:, POINT_NAMES.index("chin")] = np.nan
    with pytest.raises(Unscorable, match="no chin"):
        boxes(blind)


def test_faces_are_cut_where_the_box_says() -> None:
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[60:100, 120:160] = 255  # the box: center (140, 80), half side 20
    out = cut(frame[None], np.array([[140.0, 80.0, 20.0]]), 112)
    # 56 px wide and high from (112, 60), so each pixel becomes two: the box lies at 16–96 × 0–80.
    bright = np.argwhere(out[0, ..., 0] > 127)
    assert (bright.min(0), bright.max(0)) == (
        pytest.approx([0, 16], abs=1),
        pytest.approx([79, 95], abs=1),
    )
    beyond = cut(frame[None], np.array([[10.0, 10.0, 20.0]]), 56)
    assert beyond[0, 0, 0].tolist() == [110, 110, 110]


def test_scores_of_a_clip(tmp_path: Path, make_sound: Make, weights: Path) -> None:
    sounds = {CLIP: make_sound(1, 3.0)}
    corpus = tmp_path / "corpus"
    (corpus / "s1").mkdir(parents=True)
    tiny_clip(corpus / "s1" / "bbaf2n.mpg", frames=30)
    build = write_build(tmp_path / "build", sounds)
    run = read_run(write_run_on(tmp_path / "run", build, sounds))
    lost, absent = select(["lse_c", "lse_d"], Settings(syncnet_weights=weights))
    assert not absent
    (found,) = score_runs([run], lost, progress=False)
    assert "no_video: s1/bbaf2n.mpg lies in no known corpus" in found.scores[CLIP, "lse_c"].reason
    metrics, _ = select(["lse_c", "lse_d"], Settings(syncnet_weights=weights, video_corpus=corpus))
    (found,) = score_runs([run], metrics, progress=False)
    scores = {name: s for (_, name), s in found.scores.items()}
    assert set(scores) == {"lse_c", "lse_d", "lse_c_floor", "lse_d_floor"}
    assert scores["lse_d"].value == scores["lse_d_floor"].value, "it is the recording"
    assert scores["lse_c"].details["lse_d"] == scores["lse_d"].value
    assert scores["lse_c"].parameters["weights_sha256"]
    assert score_runs([run], metrics, progress=False)[0].n_new == 0
    faces = faces_of(run.reference(run.clips[0]), run.clips[0], corpus, 64)
    assert faces.shape == (30, 64, 64, 3)


def test_without_weights_it_is_named(tmp_path: Path) -> None:
    for settings in (Settings(), Settings(syncnet_weights=tmp_path / "absent.model")):
        metrics, absent = select(["lse_c"], settings)
        assert metrics == []
        assert "--syncnet-weights" in absent[0]
