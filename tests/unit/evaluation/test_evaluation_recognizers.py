"""The recognizers whose weights the user brings: what they ask for, and how they are called."""

from __future__ import annotations

import importlib.machinery
import pickle
import sys
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.inputs.pairs import read_run
from evaluation.inputs.settings import Settings
from evaluation.metrics.base import get_metric, select
from evaluation.models import registry, speechbrain_pretrained, whisper
from evaluation.models.torchaudio_placeholder import VERSION, ensure_torchaudio
from evaluation.models.weights import weights_sha256
from evaluation.scoring.run import SCORES, score_runs
from manifests.errors import BadInput, MissingDependency
from manifests.io import read_jsonl
from manifests.records import Score


def test_unknown_recognizers_list_the_choices() -> None:
    with pytest.raises(BadInput, match="transcripts, whisper, speechbrain-pretrained"):
        registry.create("wisper")


@pytest.mark.parametrize("name", registry.RECOGNIZERS)
def test_recognizers_travel(name: str) -> None:
    made = registry.create(name, None, "someone")
    again = pickle.loads(pickle.dumps(made))
    assert (again.name, again.label, again.parameters) == (name, made.label, made.parameters)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("whisper", "give --recognizer-path MODEL.pt"),
        ("speechbrain-pretrained", "hyperparams.yaml"),
    ],
)
def test_weights_that_are_not_there(tmp_path: Path, name: str, message: str) -> None:
    for path in (None, tmp_path / "gone"):
        metrics, absent = select(["wer", "cer"], Settings(recognizer=name, recognizer_path=path))
        assert metrics == []
        assert len(absent) == 1, "one line, not one a metric"
        assert message in absent[0]


def test_libraries_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (whisper, speechbrain_pretrained):
        monkeypatch.setattr(module, "library_version", lambda name: "absent")
    (tmp_path / "hyperparams.yaml").write_text("a: 1")
    (tmp_path / "base.pt").write_text("x")
    for name, path, library in (
        ("whisper", tmp_path / "base.pt", "pip install openai-whisper"),
        ("whisper", tmp_path, "pip install transformers"),
        ("speechbrain-pretrained", tmp_path, r"pip install .*\[eval\]"),
    ):
        with pytest.raises(MissingDependency, match=library):
            registry.create(name, path).require()


def test_weights_are_known_by_content(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "deep" / "b").write_text("2")
    first = weights_sha256(folder)
    assert len(first) == 64
    (folder / "deep" / "b").write_text("two")
    second = weights_sha256(folder)
    (folder / "deep" / "b").rename(folder / "b")
    assert len({first, second, weights_sha256(folder), weights_sha256(folder / "a")}) == 4
    assert weights_sha256(tmp_path / "gone") == weights_sha256(None) == ""


class StubWhisper:
    """Says how long the sound is."""

    asked: list[dict[str, Any]]

    def __init__(self) -> None:
        self.asked = []

    def transcribe(self, sound: Any, **options: Any) -> dict[str, str]:
        assert sound.dtype == np.float32
        self.asked.append(options)
        return {"text": " Bin Blue at F2 now." if len(sound) > 18_000 else " bin"}


def test_whisper_is_called_once_a_clip(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = StubWhisper()
    module = types.ModuleType("whisper")
    loaded = []
    module.load_model = lambda path, device: loaded.append((path, device)) or stub  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whisper", module)
    monkeypatch.setattr(whisper, "library_version", lambda name: "1.0")
    whisper._load_file.cache_clear()
    weights = tmp_path / "base.en.pt"
    weights.write_bytes(b"weights")
    settings = Settings(recognizer="whisper", recognizer_path=weights)
    metrics, absent = select(["wer", "cer", "slot_letter"], settings)
    assert absent == []
    root = make_run(tmp_path / "run", speakers=("s1",))
    scored = score_runs([read_run(root)], metrics, progress=False)[0]
    assert loaded == [(str(weights), "cpu")]
    assert len(stub.asked) == 2 * 2, "two clips and their recordings, whatever the metrics"
    assert stub.asked[0]["language"] == "en"
    assert stub.asked[0]["temperature"] == 0
    assert {s.value for (_, name), s in scored.scores.items() if name == "wer"} == {0.0}
    recognizer = scored.scores["s1/bbaf2n", "wer"].parameters["recognizer"]
    assert recognizer["label"] == "Whisper base.en"
    assert recognizer["weights_sha256"] == weights_sha256(weights)
    weights.write_bytes(b"other weights")
    changed = score_runs([read_run(root)], [get_metric("wer", settings)], progress=False)[0]
    assert changed.n_new == 2, "other weights, other scores"


def test_scores_of_two_recognizers_stand_beside_each_other(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = []
    for name in ("base.en.pt", "small.en.pt"):
        (tmp_path / name).write_text(name)
        settings.append(Settings(recognizer="whisper", recognizer_path=tmp_path / name))
    monkeypatch.setattr(whisper.Whisper, "transcribe", lambda self, sounds: ["bin"] * len(sounds))
    run = read_run(make_run(tmp_path / "run"))
    for setting, n_new in zip((*settings, *settings), (4, 4, 0, 0), strict=True):
        found = score_runs([run], [get_metric("wer", setting)], progress=False)[0]
        assert found.n_new == n_new
        assert len(found.scores) == 4
    assert score_runs([run], [get_metric("stoi")], progress=False)[0].n_new == 4
    rows = read_jsonl(run.root / SCORES, "scores", Score)[1]
    sources = Counter(r.parameters["source"] for r in rows if r.metric == "wer")
    assert sources == {"whisper: Whisper base.en": 4, "whisper: Whisper small.en": 4}


def test_broken_weights_end_the_scoring(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("whisper")

    def fail(path: str, device: str) -> None:
        raise RuntimeError("not a checkpoint")

    module.load_model = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whisper", module)
    whisper._load_file.cache_clear()
    weights = tmp_path / "x.pt"
    weights.write_bytes(b"")
    metric = get_metric("wer", Settings(recognizer="whisper", recognizer_path=weights))
    run = read_run(make_run(tmp_path / "run"))
    with pytest.raises(BadInput, match=r"x\.pt is no checkpoint of Whisper \(not a checkpoint\)"):
        score_runs([run], [metric], progress=False)


def test_speechbrain_gets_padded_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        def transcribe_batch(self, batch: Any, shares: Any) -> tuple[list[Any], None]:
            assert batch.shape == (2, 8)
            assert shares.tolist() == [1.0, 0.5]
            assert batch[1, 4:].abs().sum() == 0
            return ["BIN BLUE", ["at", "f"]], None

    monkeypatch.setattr(speechbrain_pretrained, "_load", lambda path: Model())
    made = speechbrain_pretrained.SpeechBrainPretrained(tmp_path)
    assert made.transcribe([np.ones(8), np.ones(4)]) == ["BIN BLUE", "at f"]


class Broken:
    """Finds torchaudio and fails to load it, as a CUDA build beside a CPU-only torch does."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        return importlib.machinery.ModuleSpec(name, self) if name == "torchaudio" else None  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        raise OSError("libc10_cuda.so: cannot open shared object file")


def test_the_placeholder_stands_in_for_a_torchaudio_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    for name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
        del sys.modules[name]
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert ensure_torchaudio() is True
    assert ensure_torchaudio() is True
    import torchaudio

    assert torchaudio.__version__ == VERSION
    assert importlib.util.find_spec("torchaudio") is not None
    with pytest.raises(AttributeError, match="torchaudio"):
        _ = torchaudio.load


def test_a_torchaudio_that_loads_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = types.ModuleType("torchaudio")
    real.__version__ = "2.11"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchaudio", real)
    assert ensure_torchaudio() is False
    assert sys.modules["torchaudio"] is real
