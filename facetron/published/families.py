"""Weights that others published and this package can use: recognized by the names of its tensors.

A file is never trusted to say what it is: the names and shapes of its tensors decide. `PUBLISHED` is
what `facetron published` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from facetron.published.read import read_tensors
from manifests.errors import BadInput

State = dict[str, Tensor]

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Published:
    """A family of published weights.

    Attributes:
        name: name in `facetron published`.
        what: what it is, in a few words.
        part: part of Facetron that it fills in training; "" for what only turns mels into sound.
        use: option of a command that takes the file.
        origin: repository or page of its authors that leads to the files.
        files: names of the files there.
        license: of the weights as their authors state it, else of their code, which is then said.
        sha256: of the files, where their authors state one; `unknown` otherwise.
        note: what to know before using it.
    """

    name: str
    what: str
    part: str
    use: str
    origin: str
    files: str
    license: str
    sha256: str = UNKNOWN
    note: str = ""


PUBLISHED: tuple[Published, ...] = (
    Published(
        "av-hubert",
        "lip reader: ResNet front end and transformer (base 12×768, large 24×1024)",
        "lip",
        "train lip --set lip=av-hubert (or av-hubert-large) --from FILE",
        "github.com/facebookresearch/av_hubert",
        "base_vox_iter5.pt, large_vox_iter5.pt and the fine-tuned ones",
        "AV-HuBERT license agreement: non-commercial research only, not transferable",
        note="the head that spells letters is new: train the stage lip before the decoder",
    ),
    Published(
        "auto-avsr",
        "lip reader: ResNet front end and conformer (12×768)",
        "lip",
        "train lip --set lip=auto-avsr --from FILE",
        "github.com/mpc001/auto_avsr",
        "vsr_trlrs2lrs3vox2avsp_base.pth, vsr_trlrs3vox2_base.pth, vsr_trlrs3_base.pth, …",
        "code Apache-2.0; the weights may carry terms of their training data",
        note="MD5 of the files begin with 49f77, 774a6, c00a7 by its README; the head that spells "
        "letters is new",
    ),
    Published(
        "facenet-pytorch",
        "InceptionResnetV1 trained on VGGFace2 (or CASIA-WebFace)",
        "face",
        "train face --set face.kind=inception_resnet_v1 --from FILE",
        "github.com/timesler/facenet-pytorch",
        "20180402-114759-vggface2.pt, 20180408-102900-casia-webface.pt",
        "code MIT; terms of the training data apart",
        note="the projection to face.embedding_size is new",
    ),
    Published(
        "mellotron",
        "prosody encoder: reference encoder and style tokens of Mellotron",
        "prosody",
        "train prosody --from FILE (prosody.kind=gst takes the style tokens too)",
        "github.com/NVIDIA/mellotron",
        "mellotron_libritts.pt",
        "code BSD-3-Clause; of the weights unknown",
        note="trained on mels that its code scrambles (pull request 94) and of 22.05 kHz: a start for "
        "training, no teacher as it is",
    ),
    Published(
        "ge2e",
        "speaker encoder GE2E of Resemblyzer, trained on thousands of speakers",
        "prosody",
        "train face --set prosody.kind=ge2e --set prosody.embedding_size=256 --set "
        "face.embedding_size=256 --from FILE; the later stages likewise",
        "github.com/resemble-ai/Resemblyzer",
        "pretrained.pt in the wheel of Resemblyzer 0.1.4",
        "Apache-2.0",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        note="the teacher of Eq. 5 as it is: the stage prosody is not needed; its features are "
        "estimated from the toolkit's mel",
    ),
    Published(
        "hifi-gan",
        "HiFi-GAN V1, V2, V3, generator",
        "vocoder",
        "speak, synthesize --vocoder-checkpoint FILE; train vocoder --set vocoder=v1-from-22k --from FILE",
        "github.com/jik876/hifi-gan",
        "UNIVERSAL_V1/g_02500000, LJ_FT_T2_V1/generator_v1, VCTK_V1/generator_v1, …",
        "MIT (code)",
        note="22.05 kHz, hop 256: its mel is bridged; in training at hop 320 the upsampling layers "
        "whose kernels differ start anew",
    ),
    Published(
        "hifi-gan-discriminators",
        "HiFi-GAN, multi-period and multi-scale discriminators",
        "wave_discriminator",
        "train vocoder --from FILE",
        "github.com/jik876/hifi-gan",
        "UNIVERSAL_V1/do_02500000",
        "MIT (code)",
    ),
    Published(
        "bigvgan",
        "BigVGAN and BigVGAN-v2, generator, 22.05 and 24 kHz",
        "",
        "speak, synthesize --vocoder-checkpoint FILE",
        "github.com/NVIDIA/BigVGAN",
        "bigvgan_v2_22khz_80band_fmax8k_256x/bigvgan_generator.pt, …",
        "MIT",
        note="112 M parameters (base: 14 M); some seconds of computing per second of speech on a CPU",
    ),
    Published(
        "vocos",
        "Vocos for mels, 24 kHz",
        "",
        "speak, synthesize --vocoder-checkpoint FILE",
        "github.com/gemelo-ai/vocos",
        "vocos-mel-24khz/pytorch_model.bin",
        "MIT",
        note="13.5 M parameters, fast on a CPU",
    ),
)


@dataclass(frozen=True)
class Found:
    """A published file, recognized.

    Attributes:
        name: name in `PUBLISHED`.
        part: part of Facetron that it fills, or "".
        tensors: the tensors that are used, by the names of our module.
        fresh: beginnings of the names of our module that it never has.
        optional: beginnings of names that not every config of our module has.
    """

    name: str
    part: str
    tensors: State
    fresh: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def recognize(path: Path) -> Found:
    """Reads a published file and finds out what it is.

    Raises:
        BadInput: it cannot be read, or is none of `PUBLISHED`.
    """
    state = read_tensors(path)
    for look in _LOOKS:
        found = look(state)
        if found is not None:
            return found
    shown = ", ".join(list(state)[:4])
    raise BadInput(
        f"{path} holds no weights that this package knows (it begins with {shown})",
        "see `facetron published` for what can be used",
    )


def fill(module: nn.Module, found: Found, path: Path) -> list[str]:
    """Fills a module of the part from a published file.

    Returns:
        The names of the tensors that keep their fresh values.

    Raises:
        BadInput: a tensor is missing or has another shape than the module's.
    """
    own = module.state_dict()
    given = {name: value for name, value in found.tensors.items() if name in own}
    layers = {name.rpartition(".")[0] for name in given if given[name].shape != own[name].shape}
    fitting = {
        name: value for name, value in given.items() if name.rpartition(".")[0] not in layers
    }
    fresh = [name for name in own if name not in fitting]
    for name in fresh:
        if name.startswith(found.fresh):
            continue
        what = (
            f"its {name} is {tuple(given[name].shape)}, not {tuple(own[name].shape)}"
            if name in given
            else f"it has no {name}"
        )
        raise BadInput(
            f"{path} ({found.name}) does not fit the part {found.part}: {what}",
            "choose the options that it was trained with (`facetron published` names them)",
        )
    surplus = [n for n in found.tensors if n not in own and not n.startswith(found.optional)]
    if surplus:
        raise BadInput(
            f"{path} ({found.name}) does not fit the part {found.part}: it has {surplus[0]} as well",
            "choose the options that it was trained with (`facetron published` names them)",
        )
    module.load_state_dict({**own, **fitting})
    return fresh


def _under(state: Mapping[str, Tensor], prefix: str) -> State:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _starting(state: Mapping[str, Tensor], *starts: str) -> State:
    return {name: value for name, value in state.items() if name.startswith(starts)}


def _av_hubert(state: State) -> Found | None:
    """A pretraining checkpoint, or a fine-tuned one with its decoder."""
    for prefix in ("model.", "model.encoder.w2v_model.", "", "encoder.w2v_model."):
        if f"{prefix}feature_extractor_video.resnet.frontend3D.0.weight" in state:
            break
    else:
        return None
    held = _starting(
        _under(state, prefix),
        "feature_extractor_video.",
        "layer_norm.",
        "post_extract_proj.",
        "encoder.",
    )
    held = {
        name: value for name, value in held.items() if not name.startswith("encoder.w2v_model.")
    }
    convolution = "encoder.pos_conv.0."
    gain, direction = (held.pop(f"{convolution}weight_{name}", None) for name in "gv")
    if gain is not None and direction is not None:
        # One gain for each place of the kernel.
        size = direction.float().pow(2).sum((0, 1), keepdim=True).sqrt()
        held["encoder.pos_conv.weight"] = direction * (gain / size)
    bias = held.pop(f"{convolution}bias", None)
    if bias is not None:
        held["encoder.pos_conv.bias"] = bias
    return Found("av-hubert", "lip", held, ("letters.",))


def _auto_avsr(state: State) -> Found | None:
    if not {"frontend.frontend3D.0.weight", "proj_encoder.weight"} <= set(state):
        return None
    held = _starting(state, "frontend.", "proj_encoder.", "encoder.")
    return Found("auto-avsr", "lip", held, ("letters.",))


def _facenet(state: State) -> Found | None:
    if "conv2d_1a.conv.weight" not in state or "last_linear.weight" not in state:
        return None
    held = {f"trunk.{n}": v for n, v in state.items() if not n.startswith("logits.")}
    return Found("facenet-pytorch", "face", held, ("project.",))


def _mellotron(state: State) -> Found | None:
    for prefix in ("state_dict.gst.", "gst.", ""):
        if f"{prefix}encoder.convs.0.weight" in state and f"{prefix}stl.embed" in state:
            held = _starting(_under(state, prefix), "encoder.", "stl.")
            return Found("mellotron", "prosody", held, ("project.",), ("stl.",))
    return None


def _ge2e(state: State) -> Found | None:
    for prefix in ("model_state.", ""):
        if {f"{prefix}lstm.weight_ih_l2", f"{prefix}linear.weight"} <= set(state):
            # The two scalars of its loss, `similarity_weight` and `similarity_bias`, stay behind.
            return Found("ge2e", "prosody", _starting(_under(state, prefix), "lstm.", "linear."))
    return None


def _bigvgan(state: State) -> Found | None:
    for prefix in ("generator.", ""):
        if f"{prefix}activation_post.act.alpha" in state:
            return Found("bigvgan", "", _under(state, prefix))
    return None


def _hifigan(state: State) -> Found | None:
    for prefix in ("generator.", ""):
        blocks = {f"{prefix}resblocks.0.{convs}.0.bias" for convs in ("convs1", "convs")}
        if f"{prefix}conv_pre.bias" in state and blocks & set(state):
            return Found("hifi-gan", "vocoder", _under(state, prefix), ("ups.",))
    return None


def _discriminators(state: State) -> Found | None:
    if not {"mpd.discriminators.0.conv_post.bias", "msd.discriminators.0.conv_post.bias"} <= set(
        state
    ):
        return None
    return Found("hifi-gan-discriminators", "wave_discriminator", _starting(state, "mpd.", "msd."))


def _vocos(state: State) -> Found | None:
    if "backbone.embed.weight" in state and "head.out.weight" in state:
        return Found("vocos", "", state)
    return None


_LOOKS: tuple[Callable[[State], Found | None], ...] = (
    _av_hubert,
    _auto_avsr,
    _facenet,
    _mellotron,
    _ge2e,
    _bigvgan,
    _hifigan,
    _discriminators,
    _vocos,
)
