"""Weights of others: recognized by names, filled into our parts, giving the originals' numbers."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from facetron_build import make_build
from facetron_hifigan_names import generator, mpd, msd
from facetron_published_names import auto_avsr, av_hubert, fixed, ge2e, mellotron
from torch import Tensor, nn

from facetron.commands.published import published
from facetron.model import encoders
from facetron.model.sizes import LIPS, model_config
from facetron.published import families
from facetron.published.families import PUBLISHED, fill, recognize
from facetron.train.config import train_config
from facetron.train.dataset import open_training_set
from facetron.train.run import create, take_parts
from facetron.train.stage import Stage
from manifests.errors import BadInput

torch.set_num_threads(1)
OURS_ALONE = ("letters.", "project.")


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def lips(frames: int) -> Tensor:
    """As `prepare` gives them: (1, 1, frames, 88, 88)."""
    place = torch.arange(frames * 88 * 88, dtype=torch.float64)
    wave = torch.sin(0.011 * place) * torch.cos(0.0007 * place)
    return wave.reshape(1, 1, frames, 88, 88).float()


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("av-hubert", av_hubert(768, 12)),
        ("av-hubert-large", av_hubert(1024, 24)),
        ("auto-avsr", auto_avsr(768, 12)),
    ],
)
def test_lip_encoders_have_the_published_names_and_shapes(
    kind: str, shapes: dict[str, tuple[int, ...]]
) -> None:
    with torch.device("meta"):
        ours = shapes_of(encoders.build("lip", LIPS[kind]))
        found = families._av_hubert if kind.startswith("av") else families._auto_avsr
        read = found({name: torch.empty(shape) for name, shape in shapes.items()})
    assert read is not None
    assert {name: tuple(value.shape) for name, value in read.tensors.items()} == {
        name: shape for name, shape in ours.items() if not name.startswith(OURS_ALONE)
    }


ORIGINALS = {
    # Computed by the authors' code from the same values: frames 0, 5, 10 at numbers 0, 7, 100.
    "av-hubert": (
        av_hubert(128, 2),
        [-0.88308, -0.30362, -0.60856, -0.8452, -0.29293, -0.54806, -0.82488, -0.24925, -0.54531],
        0.79905,
    ),
    "auto-avsr": (
        {n: s for n, s in auto_avsr(128, 2).items() if not n.startswith(("ctc.", "decoder."))},
        [-0.08568, 0.23307, -0.19924, -0.10101, 0.22689, -0.20636, -0.09404, 0.24983, -0.18011],
        0.85834,
    ),
}


@pytest.mark.parametrize("kind", ORIGINALS)
def test_lip_encoders_give_the_originals_numbers(kind: str, tmp_path: Path) -> None:
    shapes, expected, mean = ORIGINALS[kind]
    config = model_config(sets=[f"lip={kind}", "lip.width=128", "lip.layers=2"]).lip
    encoder = encoders.build("lip", config).eval()
    found = recognize(saved(tmp_path / "w.pt", fixed(shapes)))
    assert (found.name, found.part) == (kind, "lip")
    assert fill(encoder, found, tmp_path / "w.pt") == ["letters.weight", "letters.bias"]
    given = lips(11)
    with torch.no_grad():
        made = encoder(given).embedding
        assert made.shape == (1, 11, 128)
        picked = made[0, [0, 5, 10]][:, [0, 7, 100]].flatten()
        torch.testing.assert_close(picked, torch.tensor(expected), atol=2e-4, rtol=1e-4)
        assert float(made.abs().mean()) == pytest.approx(mean, rel=1e-4)
        # Beside a longer clip, padded with whatever: the same.
        longer = torch.cat([given, torch.full((1, 1, 4, 88, 88), 0.3)], dim=2)
        batch = torch.cat([longer, -longer])
        padded = encoder(batch, torch.tensor([11, 15])).embedding[:1, :11]
    torch.testing.assert_close(padded, made, atol=1e-4, rtol=1e-4)


def test_a_published_lip_reader_sees_the_center_of_our_crop_in_gray() -> None:
    config = LIPS["auto-avsr"]
    stored = torch.zeros(1, 144, 144, 3, dtype=torch.uint8)
    stored[:, 69:75, 69:75] = 255  # 6 px of 144 in the middle are 4 of 96, and of the 88 within
    stored[:, :6, :] = 255  # the upper 4 of 96 are cut off
    seen = encoders.prepare("lip", stored, config)
    assert seen.shape == (1, 1, 88, 88)
    bright = (seen[0, 0] > 0).nonzero()
    assert bright.amin(0).tolist() == [42, 42]
    assert bright.amax(0).tolist() == [45, 45]
    red = torch.zeros(1, 144, 144, 3, dtype=torch.uint8)
    red[..., 0] = 200
    gray = encoders.prepare("lip", red, config)
    torch.testing.assert_close(gray, torch.full_like(gray, (0.299 * 200 - 127.5) / 128))


def stage_of(stage: str, *sets: str) -> Stage[Any]:
    model, training = train_config(stage, "debug", sets=list(sets))
    return create(stage, model, training)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_build(tmp_path_factory.mktemp("build"), clips=2)


def taken(stage: Stage[Any], build: Path, path: Path) -> tuple[list[str], dict[str, Any]]:
    told: list[str] = []
    data = open_training_set(build, stage.config.mel_spec)
    inherited = take_parts(stage, data, [path], told.append)
    assert inherited.speakers == frozenset()
    return told, dict(inherited.trained)


def test_training_starts_from_a_fine_tuned_av_hubert(build: Path, tmp_path: Path) -> None:
    """A checkpoint of fairseq: its options and dictionaries are classes of packages that nobody has
    here, its encoder has a prefix, and a decoder lies beside it."""
    weights = fixed(av_hubert(64, 1))
    module = types.ModuleType("fairseq_of_somebody")
    kind = type("Dictionary", (), {"__module__": "fairseq_of_somebody"})
    module.Dictionary = kind  # type: ignore[attr-defined]
    sys.modules["fairseq_of_somebody"] = module
    dictionary = kind()
    dictionary.symbols = ["<s>", "the"]
    model = {f"encoder.w2v_model.{n}": v for n, v in weights.items() if "label_embs" not in n}
    model["decoder.embed_tokens.weight"] = torch.zeros(3, 64)
    content = {"cfg": {"task": dictionary}, "model": model, "optimizer_history": []}
    path = saved(tmp_path / "base_vox_433h.pt", content)
    del sys.modules["fairseq_of_somebody"]
    stage = stage_of("lip", "lip=av-hubert", "lip.width=64", "lip.layers=1")
    told, trained = taken(stage, build, path)
    assert told == [
        "lip: lip from base_vox_433h.pt (av-hubert), letters.weight, letters.bias start anew"
    ]
    assert trained["lip"]["training"]["weights"] == "av-hubert"
    own = stage.parts["lip"].state_dict()
    name = "encoder.layers.0.fc1.weight"
    torch.testing.assert_close(own[name], weights[name])
    # The weight norm of the positions, folded: the norm of each place of the kernel is its gain.
    folded = own["encoder.pos_conv.weight"].pow(2).sum((0, 1)).sqrt()
    torch.testing.assert_close(folded, weights["encoder.pos_conv.0.weight_g"].flatten())
    with pytest.raises(BadInput, match="the stage decoder needs a trained lip"):
        taken(stage_of("decoder", "lip=av-hubert", "lip.width=64", "lip.layers=1"), build, path)
    with pytest.raises(BadInput, match=r"does not fit the part lip: its .* is \(64"):
        taken(stage_of("lip", "lip=av-hubert", "lip.width=128", "lip.layers=1"), build, path)
    with pytest.raises(BadInput, match="does not fit the part lip: it has no "):
        taken(stage_of("lip"), build, path)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    mark, weights = tmp_path / "mark", fixed(mellotron())
    copy = Call(shutil.copyfile, __file__, str(mark))
    found = recognize(saved(tmp_path / "calls.pt", {"state_dict": weights, "extra": copy}))
    assert found.name == "mellotron"
    shell = {"state_dict": weights, "extra": Call(os.system, f"touch {mark}")}
    with pytest.raises(BadInput, match=r"shell\.pt is not a checkpoint of plain tensors"):
        recognize(saved(tmp_path / "shell.pt", shell))
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["gru", "gst"])
def test_training_starts_from_mellotron(kind: str, build: Path, tmp_path: Path) -> None:
    weights = fixed(mellotron()) | {"speaker_embedding.weight": torch.zeros(123, 128)}
    path = saved(tmp_path / "m.pt", {"iteration": 1, "state_dict": weights, "learning_rate": 1e-3})
    sets = (f"prosody.kind={kind}", "face.embedding_size=128", "prosody.embedding_size=128",
            "prosody.filters=32,32,64,64,128,128", "prosody.gru_size=128", "prosody.tokens=10",
            "prosody.heads=8", "prosody.style_size=256")  # fmt: skip
    stage = stage_of("prosody", *sets)
    told, _ = taken(stage, build, path)
    assert told[0].startswith("prosody: prosody from m.pt (mellotron)")
    assert ("project.weight, project.bias start anew" in told[0]) == (kind == "gst")
    own = stage.parts["prosody"].state_dict()
    name = "encoder.gru.weight_hh_l0"
    torch.testing.assert_close(own[name], weights[f"gst.{name}"])


def test_the_teacher_may_be_ge2e(build: Path, tmp_path: Path) -> None:
    """The stage `face` learns from it without a stage `prosody`."""
    weights = fixed(ge2e())
    nested: dict[str, Any] = {"step": 1564501, "model_state": {}}
    for name, value in weights.items():
        nested["model_state"][name.removeprefix("model_state.")] = value
    path = saved(tmp_path / "pretrained.pt", nested)
    sets = ("prosody.kind=ge2e", "prosody.embedding_size=256", "face.embedding_size=256")
    stage = stage_of("face", *sets)
    told, _ = taken(stage, build, path)
    assert told[0].startswith("face: prosody from pretrained.pt (ge2e)")
    assert "anew" not in told[0]
    own = stage.parts["prosody"].state_dict()
    torch.testing.assert_close(own["lstm.weight_hh_l2"], weights["model_state.lstm.weight_hh_l2"])
    with pytest.raises(BadInput, match="embedding_size 8"):
        stage_of("face", "prosody.kind=ge2e")


def test_training_starts_from_vggface2(build: Path, tmp_path: Path) -> None:
    from test_facetron_model_face import facenet_shapes

    shapes = facenet_shapes() | {"logits.weight": (8631, 512), "logits.bias": (8631,)}
    weights = {name: torch.full(shape, 0.01) for name, shape in shapes.items()}
    path = saved(tmp_path / "20180402-114759-vggface2.pt", weights)
    sets = ("face.kind=inception_resnet_v1", "face.input_px=80")
    teacher = stage_of("prosody", *sets)
    from facetron.checkpoints import checkpoint

    info = checkpoint.CheckpointInfo(
        "prosody", {}, ("prosody",), teacher.config.mel_spec.fingerprint(), "", ("s3",)
    )
    heard = {"prosody": teacher.parts["prosody"]}
    checkpoint.save(tmp_path / "p.safetensors", checkpoint.named(heard), info, False)
    stage = stage_of("face", *sets)
    data = open_training_set(build, stage.config.mel_spec)
    told: list[str] = []
    take_parts(stage, data, [tmp_path / "p.safetensors", path], told.append)
    assert "face from 20180402-114759-vggface2.pt (facenet-pytorch), project.weight" in told[0]
    own = stage.parts["face"].state_dict()
    assert float(own["trunk.last_linear.weight"].mean()) == pytest.approx(0.01)


def test_training_starts_from_hifigan(build: Path, tmp_path: Path) -> None:
    """At hop 320 all but two upsampling layers fit, and the discriminators whole."""
    shapes = generator(512, [16, 16, 4, 4], 1)
    weights = {name: torch.tensor(0.01).expand(shape) for name, shape in shapes.items()}
    path = saved(tmp_path / "g_02500000", {"generator": weights})
    stage = stage_of("vocoder", "vocoder=v1-from-22k")
    told, _ = taken(stage, build, path)
    assert told == [
        "vocoder: vocoder from g_02500000 (hifi-gan), ups.1.bias, ups.1.weight_g, ups.1.weight_v … "
        "start anew"
    ]
    own = stage.parts["vocoder"].state_dict()
    for name in ("conv_pre.weight_v", "ups.0.weight_v", "resblocks.11.convs2.2.weight_v"):
        torch.testing.assert_close(own[name], weights[name])
    do: dict[str, Any] = {
        part: {name: torch.tensor(0.02).expand(shape) for name, shape in shapes.items()}
        for part, shapes in (("mpd", mpd()), ("msd", msd()))
    }
    do |= {"optim_g": {"state": {0: {"exp_avg": torch.zeros(2)}}}, "steps": 3}
    told, _ = taken(stage, build, saved(tmp_path / "do_02500000", do))
    assert told == ["vocoder: wave_discriminator from do_02500000 (hifi-gan-discriminators)"]
    critic = stage.parts["wave_discriminator"].state_dict()
    name = "discriminators.2.convs.3.weight_v"
    torch.testing.assert_close(critic[f"mpd.{name}"], do["mpd"][name])
    told, _ = taken(stage_of("prosody"), build, path)
    assert told == ["prosody: g_02500000 is hifi-gan, of no use to this stage"]


def test_faults_are_one_line(tmp_path: Path) -> None:
    strange = saved(tmp_path / "x.pt", {"weights": {"a.b": torch.zeros(2)}})
    with pytest.raises(BadInput, match=r"x\.pt holds no weights that this package knows"):
        recognize(strange)
    with pytest.raises(BadInput, match="holds no tensors"):
        recognize(saved(tmp_path / "y.pt", {"a": 1}))
    (tmp_path / "z.pt").write_bytes(b"not a checkpoint of anything at all")
    with pytest.raises(BadInput, match=r"z\.pt is not a checkpoint of plain tensors"):
        recognize(tmp_path / "z.pt")
    with pytest.raises(BadInput, match="start from its own options with lip=auto-avsr"):
        model_config(sets=["lip.kind=auto-avsr"])


def test_files_that_are_no_weights_are_one_line_and_not_run(tmp_path: Path) -> None:
    """A page in the place of a download, a program, half a file."""
    ran = tmp_path / "ran"
    shell = Call(os.system, f"touch {ran}")
    whole = {"generator": {"conv_pre.bias": torch.zeros(512)}, "note": shell}
    torch.save(whole, tmp_path / "zip")
    torch.save(whole, tmp_path / "old", _use_new_zipfile_serialization=False)
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script")  # type: ignore[no-untyped-call]
    (tmp_path / "plain").write_bytes(pickle.dumps(shell))
    (tmp_path / "page").write_text("hello world, this is the page of an error\n" * 20)
    (tmp_path / "html").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    (tmp_path / "array").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}")
    (tmp_path / "half").write_bytes((tmp_path / "zip").read_bytes()[:300])
    (tmp_path / "empty").write_bytes(b"")
    programs = {
        "zip": "it asks to run posix.system",
        "old": "it asks to run",
        "script": "TorchScript",
    }
    for path in sorted(tmp_path.iterdir()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(BadInput) as caught:
                recognize(path)
        assert f"{path} is not a checkpoint of plain tensors" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert programs.get(path.name, "") in str(caught.value)
    assert not ran.exists()


def test_the_list_and_a_file_by_command(tmp_path: Path) -> None:
    listed = CliRunner().invoke(published, [])
    assert listed.exit_code == 0
    for entry in PUBLISHED:
        assert f"\n{entry.name}\n" in f"\n{listed.output}"
        assert entry.origin in listed.output
        assert f"sha256  {entry.sha256}" in listed.output
    path = saved(tmp_path / "m.pt", fixed(mellotron()))
    told = CliRunner().invoke(published, [str(path)])
    assert told.exit_code == 0
    assert "m.pt: mellotron, prosody encoder" in told.output
    assert f"{len(mellotron())} tensors, 0.5 M numbers" in told.output
