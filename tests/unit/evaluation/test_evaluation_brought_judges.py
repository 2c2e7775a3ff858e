"""Judges whose weights the user brings: UTMOS, SpeechBERTScore, speakers by WavLM, and the normalizer of
Whisper. Their weights are random here; what is pinned was computed by the originals with the same."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from evaluation.cli import cli
from evaluation.inputs.pairs import Unscorable, read_run
from evaluation.inputs.settings import Settings
from evaluation.inputs.text import WHISPER_NORMALIZER
from evaluation.metrics.base import get_metric, select
from evaluation.metrics.speech_bert import bert_scores
from evaluation.models import utmos, wavlm, whisper
from evaluation.models.torchaudio_placeholder import ensure_torchaudio
from evaluation.models.utmos import Utmos, UtmosSize, load_utmos
from evaluation.models.weights import weights_sha256
from evaluation.scoring.run import score_runs
from manifests.errors import BadInput, MissingDependency
from manifests.versions import library_version

# --- UTMOS

TINY = UtmosSize(
    channels=16, width=24, heads=4, inner=32, layers=2, positions=16, groups=4, embedding=8, hidden=12,
    projection=20,
)  # fmt: skip


def tiny_state() -> dict[str, torch.Tensor]:
    """Waves in the place of weights."""
    found = {}
    for k, (name, value) in enumerate(sorted(Utmos(TINY).state_dict().items())):
        wave = 0.3 * torch.sin(torch.arange(value.numel(), dtype=torch.float64) * 0.7 + k)
        scales = name.endswith("weight_g") or (
            name.endswith("weight") and ("norm" in name or ".0.2." in name)
        )
        found[name] = (1 + 0.3 * wave if scales else wave).reshape(value.shape).float()
    return found


@pytest.fixture(scope="module")
def utmos_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(tiny_state(), path)
    return path


@pytest.mark.parametrize(
    ("samples", "opinion"),
    [(400, 1.8741176), (8123, 1.8771776), (16_000, 1.8677937), (16_321, 1.8683064)],
)
def test_utmos_hears_what_its_original_hears(
    utmos_weights: Path, samples: int, opinion: float
) -> None:
    """SpeechMOS 1.2.0's own classes at these sizes; its padding to an even number of frames, which is
    masked, changes nothing."""
    sound = 0.2 * np.sin(np.arange(samples) ** 1.2 / 50)
    found = load_utmos(utmos_weights, TINY).opinion(sound)
    assert found == pytest.approx(opinion, abs=2e-6)


def test_the_published_checkpoint_has_this_shape() -> None:
    with torch.device("meta"):
        network = Utmos()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 225
    assert sum(p.numel() for p in network.parameters()) == 102_772_865
    assert shapes["wav2vec2.feature_extractor.conv_layers.0.0.weight"] == (512, 1, 10)
    assert shapes["wav2vec2.feature_extractor.conv_layers.0.2.weight"] == (512,)
    assert shapes["wav2vec2.encoder.pos_conv.0.weight_g"] == (1, 1, 128)
    assert shapes["wav2vec2.encoder.layers.11.self_attn.q_proj.weight"] == (768, 768)
    assert shapes["blstm.weight_ih_l0_reverse"] == (2048, 1024)
    assert shapes["projection.2.weight"] == (1, 2048)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("evil-was-here", "w"))  # type: ignore[return-value]


def test_other_files_are_no_weights_of_utmos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    less = tiny_state()
    less.pop("projection.2.bias")
    torch.save(less, "less.pt")
    torch.save(Evil(), "evil.pt")
    Path("text.pt").write_text("no weights")
    for name in ("less.pt", "evil.pt", "text.pt", "gone.pt"):
        with pytest.raises(BadInput, match=rf"{name} does not hold the weights of UTMOS"):
            load_utmos(Path(name), TINY)
    assert not Path("evil-was-here").exists()


def test_utmos_is_a_column_where_its_weights_are(
    tmp_path: Path,
    utmos_weights: Path,
    make_run: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(utmos, "load_utmos", lambda path: load_utmos(path, TINY))
    settings = Settings(utmos_weights=utmos_weights)
    assert "utmos" in {m.info.name for m in select(None, settings)[0]}
    assert "utmos" not in {m.info.name for m in select(None)[0]}
    metrics, absent = select(["utmos"], settings)
    assert absent == []
    root = make_run(tmp_path / "run", change=lambda s, i: 0 * s if i == 0 else 0.1 * s)
    (item,) = score_runs([read_run(root)], metrics, progress=False)
    assert item.scores["s1/bbaf2n", "utmos"].reason.startswith("silent")
    quiet, loud = (item.scores["s1/lgbf6s", name].value for name in ("utmos", "utmos_floor"))
    assert quiet is not None
    assert quiet != loud
    stated = item.scores["s1/lgbf6s", "utmos"].parameters
    assert stated["weights_sha256"] == weights_sha256(utmos_weights)


# --- networks of transformers


def test_the_scores_of_bert_are_those_of_the_original() -> None:
    """`bert_score` of DiscreteSpeechMetrics 1.0.1 on the same arrays."""
    speech = np.sin(np.arange(28) ** 1.3).reshape(7, 4)
    recording = np.cos(np.arange(20) ** 1.2).reshape(5, 4)
    wanted = (0.5579260534996441, 0.6326982428896165, 0.5929642705630697)
    assert bert_scores(speech, recording) == pytest.approx(wanted, abs=1e-9)
    precision, recall, f1 = bert_scores(recording, speech)
    assert (recall, precision, f1) == pytest.approx(wanted, abs=1e-9)
    assert bert_scores(speech, speech[::-1]) == pytest.approx((1, 1, 1)), "order does not count"


SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of small random networks."""
    if library_version("transformers") == "absent":
        pytest.skip("transformers is not installed")
    ensure_torchaudio()
    import transformers

    root = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    for name, kind in (("wavlm", "WavLM"), ("hubert", "Hubert"), ("wav2vec2", "Wav2Vec2")):
        config = getattr(transformers, f"{kind}Config")(**SMALL)
        getattr(transformers, f"{kind}Model")(config).save_pretrained(root / name)
    config = transformers.WavLMConfig(
        **SMALL, tdnn_dim=(16, 16, 16, 16, 24), xvector_output_dim=12, num_labels=4
    )
    transformers.WavLMForXVector(config).save_pretrained(root / "sv")
    for name, normalized in (("sv", False), ("sv-normalized", True)):
        transformers.WavLMForXVector(config).save_pretrained(root / name)
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalized)
        extractor.save_pretrained(root / name)
    return root


def sound(seconds: float = 1.0, seed: int = 0) -> np.ndarray[Any, Any]:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16_000))


@pytest.mark.parametrize("name", wavlm.HEARERS)
def test_a_layer_is_what_transformers_calls_it(saved: Path, name: str) -> None:
    import transformers

    network = transformers.AutoModel.from_pretrained(saved / name).eval()
    heard = torch.from_numpy(sound().astype(np.float32))[None]
    with torch.inference_mode():
        states = network(heard, output_hidden_states=True).hidden_states
    assert len(states) == 4
    for layer, wanted in enumerate(states):
        found = wavlm.frames(saved / name, layer, sound())
        np.testing.assert_allclose(found, wanted[0].numpy(), atol=1e-5)
    assert found.shape == (49, 32), "a frame every 20 ms"


def test_which_layer_is_heard() -> None:
    folder = Path("some")
    config = {"model_type": "wavlm", "num_hidden_layers": 24}
    assert wavlm.layer_of(config, None, folder) == 14, "the paper's best"
    assert wavlm.layer_of({**config, "num_hidden_layers": 12}, None, folder) == 12
    assert wavlm.layer_of(config, 0, folder) == 0
    with pytest.raises(BadInput, match="some has no layer 25; choose from 0 to 24"):
        wavlm.layer_of(config, 25, folder)
    with pytest.raises(BadInput, match=r"some holds a network of type 'bert'; give one of hubert"):
        wavlm.layer_of({**config, "model_type": "bert"}, None, folder)
    with pytest.raises(BadInput, match="--speechbertscore-layer without a network"):
        get_metric("speechbertscore", Settings(speechbertscore_layer=3))


def test_speechbertscore_is_a_column_where_its_network_is(
    saved: Path, tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    settings = Settings(speechbertscore_weights=saved / "hubert", speechbertscore_layer=2)
    assert "speechbertscore" in {m.info.name for m in select(None, settings)[0]}
    metrics, absent = select(["speechbertscore"], settings)
    assert absent == []
    root = make_run(tmp_path / "run", change=lambda s, i: s if i == 0 else sound(1.2, i)[: len(s)])
    (item,) = score_runs([read_run(root)], metrics, progress=False)
    same, other = (item.scores[clip, "speechbertscore"] for clip in ("s1/bbaf2n", "s1/lgbf6s"))
    assert same.value == pytest.approx(1, abs=1e-4)
    assert other.value is not None
    assert other.value < same.value  # type: ignore[operator]
    assert set(other.details) == {"recall", "f1"}
    assert other.parameters["layer"] == 2
    assert "layer 2 of 3 of hubert" in metrics[0].info.note
    deeper = get_metric(
        "speechbertscore", Settings(speechbertscore_weights=saved / "hubert")
    ).info.parameters
    assert deeper["layer"] == 3, "another layer is another score"


def test_a_voice_is_what_transformers_makes_of_it(saved: Path) -> None:
    import transformers

    for name in ("sv", "sv-normalized"):
        extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(saved / name)
        given = extractor(sound().astype(np.float32), sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            network = transformers.WavLMForXVector.from_pretrained(saved / name).eval()
            wanted = torch.nn.functional.normalize(network(**given).embeddings, dim=-1)
        found = wavlm.embed_voice(saved / name, sound())
        np.testing.assert_allclose(found, wanted[0].numpy(), atol=1e-5)
    plain, quiet = (wavlm.embed_voice(saved / "sv", k * sound()) for k in (1, 0.01))
    assert np.abs(plain - quiet).max() > 1e-4, "this one is told not to normalize"
    with pytest.raises(Unscorable, match="too_short"):
        wavlm.embed_voice(saved / "sv", sound(0.4))


def test_voices_by_wavlm_reach_their_own_floor(
    saved: Path, tmp_path: Path, make_run: Callable[..., Path]
) -> None:
    settings = Settings(wavlm_weights=saved / "sv")
    names = ("wavlm_similarity", "wavlm_accuracy", "wavlm_eer")
    assert set(names) <= {m.info.name for m in select(None, settings)[0]}
    metrics, absent = select(names, settings)
    assert absent == []
    (item,) = score_runs([read_run(make_run(tmp_path / "run"))], metrics, progress=False)
    for name in names:
        found = item.scores["s1/bbaf2n", name]
        assert found.status == "ok", found.reason
        assert found.value == item.scores["s1/bbaf2n", f"{name}_floor"].value
        assert found.parameters["weights_sha256"] == weights_sha256(saved / "sv")
    details = item.scores["s1/bbaf2n", "wavlm_eer"].details
    assert (len(details["own"]), len(details["others"])) == (1, 2), "never with itself"


def test_a_network_without_a_head_for_voices_is_refused(saved: Path) -> None:
    metrics = get_metric("wavlm_eer", Settings(wavlm_weights=saved / "wavlm"))
    with pytest.raises(BadInput, match="no network that was trained to verify speakers"):
        metrics.require()
    with pytest.raises(BadInput, match=r"lacks \d+ of the network's weights"):
        wavlm.embed_voice(saved / "wavlm", sound())


def test_folders_that_hold_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wavlm, "library_version", lambda name: "5.0")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.json").write_text("[1]")
    (tmp_path / "empty").mkdir()
    for name, message in (("empty", "holds no config.json"), ("list", "is no configuration")):
        with pytest.raises(BadInput, match=message):
            get_metric("speechbertscore", Settings(speechbertscore_weights=tmp_path / name))
        with pytest.raises(BadInput, match=message):
            get_metric("wavlm_eer", Settings(wavlm_weights=tmp_path / name)).require()


@pytest.mark.parametrize(
    ("metric", "option"),
    [
        ("utmos", "utmos_weights"),
        ("speechbertscore", "speechbertscore_weights"),
        ("wavlm_similarity", "wavlm_weights"),
    ],
)
def test_one_line_where_weights_or_library_are_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, option: str
) -> None:
    flag = f"--{option.replace('_', '-')}"
    for path, said in ((None, "needs"), (tmp_path / "gone", "gone is no f")):
        given: dict[str, Any] = {option: path}
        metrics, absent = select([metric], Settings(**given))
        assert metrics == []
        assert len(absent) == 1
        assert said in absent[0]
        assert flag in absent[0]
    if metric != "utmos":
        monkeypatch.setattr(wavlm, "library_version", lambda name: "absent")
        config = {"model_type": "wavlm", "num_hidden_layers": 2}
        (tmp_path / "config.json").write_text(json.dumps(config))
        given = {option: tmp_path}
        (line,) = select([metric], Settings(**given))[1]
        assert "pip install transformers" in line


def test_the_commands_take_them(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    root = make_run(tmp_path / "run")
    given = ["score", str(root), "--metrics", "stoi,utmos", "--utmos-weights", str(tmp_path / "x")]
    done = CliRunner().invoke(cli, [*given, "--recognizer", "none", "--jobs", "0"])
    assert f"utmos: {tmp_path / 'x'} is no file" in done.output


# --- Whisper's normalizer

SENTENCE, HEARD = "bin blue at o two now", "Bin blue at 02, no."


class StubNormalizer:
    def __call__(self, text: str) -> str:
        return text.lower().replace("o two", "02").replace(",", "").replace(".", "")


def test_words_are_counted_as_whisper_s_normalizer_leaves_them(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("whisper.normalizers")
    module.EnglishTextNormalizer = StubNormalizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whisper", types.ModuleType("whisper"))
    monkeypatch.setitem(sys.modules, "whisper.normalizers", module)
    known = library_version
    monkeypatch.setattr(
        whisper, "library_version", lambda name: "1.0" if "whisper" in name else known(name)
    )
    whisper.english_normalizer.cache_clear()
    root = make_run(tmp_path / "run", speakers=("s1",))
    clips = (root / "clips.jsonl").read_text().replace("bin blue at f two now", SENTENCE)
    (root / "clips.jsonl").write_text(clips)
    header = {"schema": "transcripts", "schema_version": 1, "recognizer": "Whisper"}
    lines = [{"speaker": "s1", "stem": stem, "text": HEARD} for stem in ("bbaf2n", "lgbf6s")]
    (root / "transcripts.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in (header, *lines))
    )
    settings = Settings(recognizer="transcripts", transcripts_by="Whisper")
    names = ["wer", "wer_whisper_normalizer"]
    assert set(names) <= {m.info.name for m in select(None, settings)[0]}
    (item,) = score_runs([read_run(root)], select(names, settings)[0], progress=False)
    ours, theirs = (item.scores["s1/bbaf2n", name] for name in names)
    assert ours.value == pytest.approx(100 / 6)
    assert theirs.value == pytest.approx(100 / 5), "at o two is at 02"
    assert (ours.weight, theirs.weight) == (6, 5)
    assert theirs.parameters["normalizer"] == WHISPER_NORMALIZER
    assert "whisper" in theirs.parameters["normalizer_version"]
    whisper.english_normalizer.cache_clear()


def test_without_a_package_that_has_it_it_is_no_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "library_version", lambda name: "absent")
    whisper.english_normalizer.cache_clear()
    settings = Settings(recognizer="transcripts", transcripts_by="X")
    assert "wer_whisper_normalizer" not in {m.info.name for m in select(None, settings)[0]}
    metrics, absent = select(["wer_whisper_normalizer"], settings)
    assert metrics == []
    assert "pip install openai-whisper" in absent[0]
    with pytest.raises(MissingDependency, match=r"normalizer\.json"):
        whisper.english_normalizer(tmp_path)


@pytest.mark.parametrize("library", ["openai-whisper", "transformers"])
def test_the_real_normalizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    if library_version(library) == "absent":
        pytest.skip(f"{library} is not installed")
    monkeypatch.setattr(
        whisper, "library_version", lambda name: "1.0" if name == library else "absent"
    )
    whisper.english_normalizer.cache_clear()
    (tmp_path / "normalizer.json").write_text('{"grey": "gray"}')
    plain = whisper.english_normalizer(tmp_path)
    assert plain("Bin blue at O two, now.") == "bin blue at 02 now"
    assert plain("set grey by F2 please") == "set gray by f 2 please"
    whisper.english_normalizer.cache_clear()
