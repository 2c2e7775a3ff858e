"""Names and shapes of published weights, written down from the architectures of their authors and not
from our code, and fixed values for them, from which the originals' outputs were computed."""

from __future__ import annotations

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def batch_norm(name: str, width: int) -> Shapes:
    running = {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return norm(name, width) | running | {f"{name}.num_batches_tracked": ()}


def linear(name: str, before: int, after: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (after, before)} | ({f"{name}.bias": (after,)} if bias else {})


def visual_front_end(name: str, prelu: bool) -> Shapes:
    shapes = {f"{name}.frontend3D.0.weight": (64, 1, 5, 7, 7)}
    shapes |= batch_norm(f"{name}.frontend3D.1", 64)
    if prelu:
        shapes[f"{name}.frontend3D.2.weight"] = (64,)
    before = 64
    for layer, width in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            part = f"{name}.trunk.layer{layer}.{block}"
            shapes[f"{part}.conv1.weight"] = (width, before, 3, 3)
            shapes[f"{part}.conv2.weight"] = (width, width, 3, 3)
            shapes |= batch_norm(f"{part}.bn1", width) | batch_norm(f"{part}.bn2", width)
            if prelu:
                shapes |= {f"{part}.relu{n}.weight": (width,) for n in (1, 2)}
            if before != width:
                shapes[f"{part}.downsample.0.weight"] = (width, before, 1, 1)
                shapes |= batch_norm(f"{part}.downsample.1", width)
            before = width
    return shapes


def av_hubert(width: int, layers: int) -> Shapes:
    """Of `AVHubertModel` after pretraining, with what only its pretraining uses."""
    shapes = visual_front_end("feature_extractor_video.resnet", prelu=True)
    shapes |= linear("feature_extractor_video.proj", 512, width)
    shapes |= linear("feature_extractor_audio.proj", 104, width)
    shapes |= linear("post_extract_proj", 2 * width, width) | norm("layer_norm", 2 * width)
    shapes |= {
        "encoder.pos_conv.0.weight_g": (1, 1, 128),
        "encoder.pos_conv.0.weight_v": (width, width // 16, 128),
        "encoder.pos_conv.0.bias": (width,),
    }
    for n in range(layers):
        layer = f"encoder.layers.{n}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes |= linear(f"{layer}.self_attn.{name}", width, width)
        shapes |= norm(f"{layer}.self_attn_layer_norm", width)
        shapes |= linear(f"{layer}.fc1", width, 4 * width)
        shapes |= linear(f"{layer}.fc2", 4 * width, width)
        shapes |= norm(f"{layer}.final_layer_norm", width)
    shapes |= norm("encoder.layer_norm", width) | linear("final_proj", width, 256)
    return shapes | {"mask_emb": (104,), "label_embs_concat": (4, 256)}


def auto_avsr(width: int, layers: int) -> Shapes:
    """Of `E2E` for video, with the beginnings of its decoder and its CTC."""
    shapes = visual_front_end("frontend", prelu=False) | linear("proj_encoder", 512, width)
    for n in range(layers):
        layer = f"encoder.encoders.{n}"
        for name in ("q", "k", "v", "out"):
            shapes |= linear(f"{layer}.self_attn.linear_{name}", width, width)
        shapes |= linear(f"{layer}.self_attn.linear_pos", width, width, bias=False)
        heads = (width // 64, 64)
        shapes |= {f"{layer}.self_attn.pos_bias_{name}": heads for name in "uv"}
        for name in ("feed_forward", "feed_forward_macaron"):
            shapes |= linear(f"{layer}.{name}.w_1", width, 4 * width)
            shapes |= linear(f"{layer}.{name}.w_2", 4 * width, width)
        part = f"{layer}.conv_module"
        shapes |= {
            f"{part}.pointwise_cov1.weight": (2 * width, width, 1),
            f"{part}.pointwise_cov1.bias": (2 * width,),
            f"{part}.depthwise_conv.weight": (width, 1, 31),
            f"{part}.depthwise_conv.bias": (width,),
            f"{part}.pointwise_cov2.weight": (width, width, 1),
            f"{part}.pointwise_cov2.bias": (width,),
        }
        shapes |= batch_norm(f"{part}.norm", width)
        for name in ("ff", "mha", "ff_macaron", "conv", "final"):
            shapes |= norm(f"{layer}.norm_{name}", width)
    shapes |= norm("encoder.after_norm", width) | linear("ctc.ctc_lo", width, 5049)
    return shapes | {"decoder.embed.0.weight": (5049, width)}


def mellotron() -> Shapes:
    """Of the part `gst` of Mellotron's Tacotron 2."""
    shapes: Shapes = {}
    widths = (1, 32, 32, 64, 64, 128, 128)
    for n in range(6):
        shapes[f"gst.encoder.convs.{n}.weight"] = (widths[n + 1], widths[n], 3, 3)
        shapes[f"gst.encoder.convs.{n}.bias"] = (widths[n + 1],)
        shapes |= batch_norm(f"gst.encoder.bns.{n}", widths[n + 1])
    shapes |= {
        "gst.encoder.gru.weight_ih_l0": (384, 256),
        "gst.encoder.gru.weight_hh_l0": (384, 128),
        "gst.encoder.gru.bias_ih_l0": (384,),
        "gst.encoder.gru.bias_hh_l0": (384,),
        "gst.stl.embed": (10, 32),
        "gst.stl.attention.W_query.weight": (256, 128),
        "gst.stl.attention.W_key.weight": (256, 32),
        "gst.stl.attention.W_value.weight": (256, 32),
    }
    return shapes


def ge2e() -> Shapes:
    """Of the speaker encoder in Resemblyzer 0.1.4."""
    shapes: Shapes = {"model_state.similarity_weight": (1,), "model_state.similarity_bias": (1,)}
    for layer in range(3):
        shapes[f"model_state.lstm.weight_ih_l{layer}"] = (1024, 40 if layer == 0 else 256)
        shapes[f"model_state.lstm.weight_hh_l{layer}"] = (1024, 256)
        for bias in ("bias_ih", "bias_hh"):
            shapes[f"model_state.lstm.{bias}_l{layer}"] = (1024,)
    return shapes | {"model_state.linear.weight": (256, 256), "model_state.linear.bias": (256,)}


def bigvgan(
    bands: int, channels: int, kernels: list[int], beta: bool = True, bias: bool = True
) -> Shapes:
    """Of the generators of BigVGAN; version 2 has no `bias` at the end."""

    def convolution(name: str, after: int, before: int, size: int) -> Shapes:
        shapes = {f"{name}.weight_g": (after, 1, 1), f"{name}.weight_v": (after, before, size)}
        return shapes | {f"{name}.bias": (after,)}

    def activation(name: str, width: int) -> Shapes:
        shapes = {f"{name}.act.alpha": (width,)} | ({f"{name}.act.beta": (width,)} if beta else {})
        filters = (f"{name}.upsample.filter", f"{name}.downsample.lowpass.filter")
        return shapes | dict.fromkeys(filters, (1, 1, 12))

    shapes = convolution("conv_pre", channels, bands, 7)
    block = 0
    for stage, kernel in enumerate(kernels):
        before, after = channels >> stage, channels >> (stage + 1)
        shapes[f"ups.{stage}.0.weight_g"] = (before, 1, 1)
        shapes[f"ups.{stage}.0.weight_v"] = (before, after, kernel)
        shapes[f"ups.{stage}.0.bias"] = (after,)
        for size in (3, 7, 11):
            for layer in range(3):
                for part in ("convs1", "convs2"):
                    shapes |= convolution(f"resblocks.{block}.{part}.{layer}", after, after, size)
            for n in range(6):
                shapes |= activation(f"resblocks.{block}.activations.{n}", after)
            block += 1
    last = channels >> len(kernels)
    shapes |= activation("activation_post", last) | convolution("conv_post", 1, last, 7)
    if not bias:
        del shapes["conv_post.bias"]
    return shapes


def vocos(bands: int, width: int, inner: int, layers: int, n_fft: int) -> Shapes:
    """Of Vocos for mels, with the buffers that its files hold."""
    shapes: Shapes = {
        "feature_extractor.mel_spec.spectrogram.window": (n_fft,),
        "feature_extractor.mel_spec.mel_scale.fb": (n_fft // 2 + 1, bands),
        "backbone.embed.weight": (width, bands, 7),
        "backbone.embed.bias": (width,),
        "head.istft.window": (n_fft,),
    }
    shapes |= norm("backbone.norm", width) | norm("backbone.final_layer_norm", width)
    for n in range(layers):
        block = f"backbone.convnext.{n}"
        shapes |= {
            f"{block}.dwconv.weight": (width, 1, 7),
            f"{block}.dwconv.bias": (width,),
            f"{block}.gamma": (width,),
        }
        shapes |= norm(f"{block}.norm", width) | linear(f"{block}.pwconv1", width, inner)
        shapes |= linear(f"{block}.pwconv2", inner, width)
    return shapes | linear("head.out", width, n_fft + 2)


def fixed(shapes: Shapes) -> dict[str, Tensor]:
    """Values by a formula of the place of a name in their order: the same for every code."""
    made: dict[str, Tensor] = {}
    for number, name in enumerate(sorted(shapes)):
        shape, leaf = shapes[name], name.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked":
            made[name] = torch.zeros(shape, dtype=torch.int64)
            continue
        values = torch.zeros(shape, dtype=torch.float64)
        count = values.numel()
        wave = torch.sin(0.37 * torch.arange(count, dtype=torch.float64) + 1.3 * number)
        wave = wave.reshape(shape)
        if leaf == "running_var":
            wave = 1 + 0.5 * wave.abs()
        elif leaf in ("running_mean", "bias"):
            wave = 0.1 * wave
        elif leaf == "weight_g":
            wave = 1 + 0.2 * wave
        elif leaf in ("alpha", "beta"):
            wave = 0.3 * wave
        elif leaf == "gamma":
            wave = 0.2 + 0.1 * wave
        elif len(shape) <= 1:
            wave = 1 + 0.2 * wave if leaf == "weight" or "norm" in name else 0.1 * wave
        else:
            wave = wave * (1.5 / (count / shape[0]) ** 0.5)
        made[name] = wave.float()
    return made
