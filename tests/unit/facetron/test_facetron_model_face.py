"""The face encoder, and that facenet-pytorch's weights would load."""

import dataclasses
from pathlib import Path

import pytest
import torch

from facetron.model.face import FaceEncoder, face_input
from facetron.model.inception_resnet import InceptionResnetV1
from facetron.model.sizes import DEBUG, PAPER, SMALL
from facetron.published.read import load_published
from manifests.errors import BadInput

torch.set_num_threads(1)


def facenet_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of facenet-pytorch's InceptionResnetV1, written down from its architecture
    and not from our code."""
    shapes: dict[str, tuple[int, ...]] = {}

    def basic(name: str, i: int, o: int, kh: int, kw: int) -> None:
        shapes[f"{name}.conv.weight"] = (o, i, kh, kw)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (o,)
        shapes[f"{name}.bn.num_batches_tracked"] = ()

    def plain(name: str, i: int, o: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (o, i, 1, 1), (o,)

    for name, i, o, k in [
        ("conv2d_1a", 3, 32, 3),
        ("conv2d_2a", 32, 32, 3),
        ("conv2d_2b", 32, 64, 3),
        ("conv2d_3b", 64, 80, 1),
        ("conv2d_4a", 80, 192, 3),
        ("conv2d_4b", 192, 256, 3),
    ]:
        basic(name, i, o, k, k)
    for n in range(5):
        block = f"repeat_1.{n}"
        basic(f"{block}.branch0", 256, 32, 1, 1)
        basic(f"{block}.branch1.0", 256, 32, 1, 1)
        basic(f"{block}.branch1.1", 32, 32, 3, 3)
        basic(f"{block}.branch2.0", 256, 32, 1, 1)
        basic(f"{block}.branch2.1", 32, 32, 3, 3)
        basic(f"{block}.branch2.2", 32, 32, 3, 3)
        plain(f"{block}.conv2d", 96, 256)
    basic("mixed_6a.branch0", 256, 384, 3, 3)
    basic("mixed_6a.branch1.0", 256, 192, 1, 1)
    basic("mixed_6a.branch1.1", 192, 192, 3, 3)
    basic("mixed_6a.branch1.2", 192, 256, 3, 3)
    for n in range(10):
        block = f"repeat_2.{n}"
        basic(f"{block}.branch0", 896, 128, 1, 1)
        basic(f"{block}.branch1.0", 896, 128, 1, 1)
        basic(f"{block}.branch1.1", 128, 128, 1, 7)
        basic(f"{block}.branch1.2", 128, 128, 7, 1)
        plain(f"{block}.conv2d", 256, 896)
    basic("mixed_7a.branch0.0", 896, 256, 1, 1)
    basic("mixed_7a.branch0.1", 256, 384, 3, 3)
    basic("mixed_7a.branch1.0", 896, 256, 1, 1)
    basic("mixed_7a.branch1.1", 256, 256, 3, 3)
    basic("mixed_7a.branch2.0", 896, 256, 1, 1)
    basic("mixed_7a.branch2.1", 256, 256, 3, 3)
    basic("mixed_7a.branch2.2", 256, 256, 3, 3)
    for block in [f"repeat_3.{n}" for n in range(5)] + ["block8"]:
        basic(f"{block}.branch0", 1792, 192, 1, 1)
        basic(f"{block}.branch1.0", 1792, 192, 1, 1)
        basic(f"{block}.branch1.1", 192, 192, 1, 3)
        basic(f"{block}.branch1.2", 192, 192, 3, 1)
        plain(f"{block}.conv2d", 384, 1792)
    shapes["last_linear.weight"] = (512, 1792)
    for part in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"last_bn.{part}"] = (512,)
    shapes["last_bn.num_batches_tracked"] = ()
    return shapes


def debug_encoder() -> FaceEncoder:
    torch.manual_seed(0)
    return FaceEncoder(DEBUG.face).eval()


def test_names_and_shapes_are_facenets() -> None:
    with torch.device("meta"):
        model = InceptionResnetV1()
        state = {
            name: torch.empty(shape, dtype=torch.long if shape == () else torch.float32)
            for name, shape in facenet_shapes().items()
        }
        logits = {"logits.weight": torch.empty(8631, 512), "logits.bias": torch.empty(8631)}
    model.load_state_dict(state | logits, assign=True)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == (
        facenet_shapes()
    )
    state.pop("repeat_2.9.conv2d.bias")
    with pytest.raises(RuntimeError, match=r"repeat_2\.9\.conv2d\.bias"):
        model.load_state_dict(state)


def test_paper_size() -> None:
    with torch.device("meta"):
        model = FaceEncoder(PAPER.face).eval()
        assert model(torch.empty(2, 3, 160, 160)).shape == (2, 128)
    assert sum(p.numel() for p in model.trunk.parameters()) == 23_482_624
    assert model.project.weight.shape == (128, 512)


def test_facenet_weights_load_from_a_file_and_change_the_output(tmp_path: Path) -> None:
    torch.manual_seed(0)
    donor, model = InceptionResnetV1().eval(), FaceEncoder(PAPER.face).eval()
    faces = torch.randn(2, 3, 160, 160)
    torch.save({**donor.state_dict(), "logits.weight": torch.zeros(3, 512)}, tmp_path / "face.pt")
    load_published(model.trunk, tmp_path / "face.pt")
    with torch.no_grad():
        features = donor(faces)
        assert torch.equal(model.trunk(faces), features)
        torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
        expected = torch.nn.functional.normalize(model.project(features), dim=1)
        torch.testing.assert_close(model(faces), expected)


def test_embeddings_have_length_one_and_depend_on_the_face() -> None:
    model, faces = debug_encoder(), torch.randn(4, 3, 32, 32)
    out = model(faces)
    assert out.shape == (4, 8)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(4))
    assert float((out[0] - out[1]).detach().norm()) > 1e-4


def test_a_face_does_not_depend_on_its_batch_and_the_same_comes_twice() -> None:
    model, faces = debug_encoder(), torch.randn(3, 3, 32, 32)
    together = model(faces)
    assert torch.equal(together, model(faces))
    torch.testing.assert_close(model(faces[1:2])[0], together[1])


def test_every_parameter_learns_from_a_batch_of_one_too() -> None:
    model = debug_encoder().train()
    (model(torch.randn(1, 3, 32, 32)) * torch.randn(8)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_small_size() -> None:
    with torch.device("meta"):
        model = FaceEncoder(SMALL.face).eval()
        assert model(torch.empty(1, 3, 160, 160)).shape == (1, 128)
    assert sum(p.numel() for p in model.parameters()) < 0.7e6


def test_input_is_made_from_stored_stills() -> None:
    stills = torch.randint(0, 256, (2, 3, 160, 160, 3), dtype=torch.uint8)
    same = face_input(stills, PAPER.face)
    torch.testing.assert_close(same, (stills.movedim(-1, -3) - 127.5) / 128)
    assert face_input(stills, DEBUG.face).shape == (2, 3, 3, 32, 32)
    flat = torch.full((64, 64, 3), 255, dtype=torch.uint8)
    resized = face_input(flat, DEBUG.face)
    torch.testing.assert_close(resized, torch.full((3, 32, 32), 127.5 / 128))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(BadInput, match="faces of shape"):
        debug_encoder()(torch.zeros(1, 3, 33, 32))
    with pytest.raises(BadInput, match="RGB"):
        face_input(torch.zeros(3, 32, 32), DEBUG.face)
    with pytest.raises(BadInput, match=r"face\.input_px"):
        dataclasses.replace(PAPER.face, input_px=40)
