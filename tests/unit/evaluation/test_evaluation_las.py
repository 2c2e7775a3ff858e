"""LAS from sound to text: features, grammar, ranking, and the weights that are shipped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from soxr import resample

from evaluation.inputs.pairs import Pair, Recording
from evaluation.inputs.settings import Settings
from evaluation.inputs.text import compare
from evaluation.metrics.base import select
from evaluation.models import registry
from evaluation.models.las import WEIGHTS, Las, LasSpec, load_las, save_las
from evaluation.models.las_decoding import (
    FORBIDDEN,
    beam_hypotheses,
    best_path,
    ctc_scores,
    decode,
    grammar_table,
    greedy,
    heard_words,
    in_grammar,
    spelling_scores,
)
from evaluation.models.las_features import (
    BLANK,
    EOS,
    SPEC,
    VOCABULARY_SIZE,
    Hearing,
    features,
    text_of,
    tokens_of,
    warped_basis,
)
from evaluation.models.weights import weights_sha256
from gridprep.synth.speakers import synthetic_speaker
from gridprep.synth.voice import RATE_HZ as VOICE_RATE_HZ
from gridprep.synth.voice import utter
from manifests.errors import BadInput, SpecMismatch
from manifests.espeak import speak, spelled
from manifests.grammar import is_stem, sentence_of, stem_of
from manifests.records import RunClip

Samples = NDArray[np.float64]


def spoken(speaker: str, stem: str) -> Samples:
    """(48000,) a clip of SynthGRID's voice at 16 kHz."""
    import soxr

    said = (
        utter(synthetic_speaker(speaker), stem, np.random.default_rng(0)).samples.mean(axis=1)
        / 32768
    )
    sound: Samples = soxr.resample(said, VOICE_RATE_HZ, 16_000)[:48_000]
    return sound


def tone(hz: float) -> Samples:
    return np.asarray(0.1 * np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000))


def small_net() -> Las:
    torch.manual_seed(3)
    return Las(LasSpec(cnn_channels=(2, 2), rnn_units=8, states=8, attention=8, embedding=4)).eval()


# --- features ------------------------------------------------------------------------------------


def test_features_have_a_frame_every_200_samples() -> None:
    heard = features(tone(440))
    assert heard.shape == (81, 64)
    assert heard.dtype == np.float32
    assert np.allclose(heard.mean(axis=0), 0, atol=1e-5)


def test_features_ignore_level_and_color() -> None:
    sound = spoken("s2", "bbaf2n")
    assert np.allclose(features(sound), features(sound / 50), atol=1e-4)
    # A channel that halves everything above 1 kHz: a constant a band, but for silent bands.
    gain = np.where(np.arange(257) < 32, 1.0, 0.5).astype(np.float32)
    colored = features(sound, Hearing(gain=gain))
    assert np.abs(colored - features(sound)).mean() < 0.1


def test_silence_and_single_samples_are_heard_as_nothing() -> None:
    assert np.abs(features(np.zeros(3000))).max() < 1e-6
    assert np.isfinite(features(np.array([0.5]))).all()


def test_warp_hears_a_voice_higher() -> None:
    def loudest_band(hz: float, warp: float) -> int:
        spectrum = np.zeros(257)
        spectrum[round(hz / 31.25)] = 1.0
        return int((warped_basis(warp) @ spectrum).argmax())

    assert loudest_band(2000, 1.25) == loudest_band(2500, 1.0)
    assert loudest_band(2500, 0.8) == loudest_band(2000, 1.0)
    assert loudest_band(2000, 1.0) < loudest_band(2500, 1.0)


def test_shorter_hops_stretch_time() -> None:
    assert len(features(tone(440), Hearing(hop_samples=100))) == 161


def test_characters_there_and_back() -> None:
    assert text_of([BLANK, *tokens_of("place white by z seven please"), EOS]) == (
        "place white by z seven please"
    )
    with pytest.raises(ValueError, match="substring not found"):
        tokens_of("Bin")


# --- grammar and ranking -------------------------------------------------------------------------


def test_the_grammar_has_64000_sentences() -> None:
    table = grammar_table()
    ways = torch.zeros(len(table), dtype=torch.long)
    ways[0] = 1
    ended = 0
    steps = [(a, int(table[a, t])) for a, t in (table >= 0).nonzero().tolist()]
    for _ in range(40):
        after = torch.zeros_like(ways)
        for before, following in steps:
            after[following] += ways[before]
        ended += int(after[-2])
        after[-2] = 0
        ways = after
    assert ended == 64_000


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("bin blue at f two now", True),
        ("place white with x zero please", True),
        ("bin blue at f two", False),
        ("bin blue at w two now", False),
        ("bin  blue at f two now", False),
        ("bin blue at f two now ", False),
        ("blue bin at f two now", False),
        ("", False),
    ],
)
def test_what_is_in_the_grammar(text: str, inside: bool) -> None:
    assert in_grammar(tuple(tokens_of(text))) is inside


def test_ctc_scores_are_sums_over_all_paths() -> None:
    rng = np.random.default_rng(0)
    log_probs = torch.from_numpy(rng.normal(size=(4, VOCABULARY_SIZE))).float().log_softmax(-1)
    a, b = tokens_of("ab")
    hypotheses = [(a,), (a, b), (a, a), (a, b, a, b, a)]
    sums = dict.fromkeys(hypotheses, 0.0)
    for path in itertools.product((BLANK, a, b), repeat=4):
        spelled = tuple(
            t for k, t in enumerate(path) if t != BLANK and (k == 0 or t != path[k - 1])
        )
        if spelled in sums:
            sums[spelled] += math.exp(sum(float(log_probs[k, t]) for k, t in enumerate(path)))
    found = ctc_scores(log_probs, hypotheses)
    for hypothesis, score in zip(hypotheses[:3], found[:3].tolist(), strict=True):
        assert score == pytest.approx(math.log(sums[hypothesis]), abs=1e-4)
    assert found[3] == FORBIDDEN, "five characters do not fit into four frames"


def test_best_path_joins_repeats_that_no_blank_parts() -> None:
    a, b = tokens_of("ab")
    path = [BLANK, a, a, BLANK, a, b, b, EOS]
    log_probs = torch.full((len(path), VOCABULARY_SIZE), -9.0)
    log_probs[range(len(path)), path] = 0.0
    assert text_of(best_path(log_probs)) == "aab"


def test_spelling_scores_are_those_of_one_clip_alone() -> None:
    model = small_net()
    states = torch.randn(1, 30, 8, generator=torch.Generator().manual_seed(0))
    texts = [tuple(tokens_of(text)) for text in ("bin", "", "place white")]
    together = spelling_scores(model, states, texts)
    alone = torch.cat([spelling_scores(model, states, [text]) for text in texts])
    assert torch.allclose(together, alone, atol=1e-4)
    assert (together < 0).all()


def test_an_untrained_net_still_keeps_to_the_grammar() -> None:
    model = small_net()
    states = model.listen(torch.from_numpy(features(spoken("s2", "bbaf2n"))).unsqueeze(0)).detach()
    found = [h for h in beam_hypotheses(model, states, 6, grammar=True) if in_grammar(h)]
    assert len(found) >= 4
    assert is_stem(stem_of(decode(model, states, grammar=True)))


# --- weights -------------------------------------------------------------------------------------


def test_weights_there_and_back(tmp_path: Path) -> None:
    model = small_net()
    path = tmp_path / "las.safetensors"
    save_las(path, model, {}, {"note": "none"})
    again = load_las(path)
    assert again.spec == model.spec
    heard = torch.from_numpy(features(tone(300))).unsqueeze(0)
    assert torch.allclose(again.listen(heard), model.listen(heard), atol=5e-3), "half precision"


def test_weights_of_another_spec_or_another_card_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "las.safetensors"
    save_las(path, small_net(), {}, {})
    path.write_bytes(path.read_bytes()[:-1] + b"\x77")
    with pytest.raises(BadInput, match="not the file of its card"):
        load_las(path)
    with pytest.raises(BadInput, match="does not exist"):
        load_las(tmp_path / "gone.safetensors")
    with pytest.raises(BadInput, match="holds no recognizer"):
        load_las(WEIGHTS.with_name("speaker.safetensors"))
    with pytest.raises(SpecMismatch):
        Las(LasSpec(mel="0" * 16))


def test_the_shipped_weights_are_small_and_known() -> None:
    model = load_las()
    assert WEIGHTS.stat().st_size < 6e6
    assert sum(p.numel() for p in model.parameters()) < 3e6
    made = registry.create(registry.DEFAULT)
    made.require()
    assert made.parameters["weights_sha256"] == weights_sha256(WEIGHTS)
    assert made.parameters["mel"] == SPEC.fingerprint()


# --- the shipped recognizer ----------------------------------------------------------------------

SENTENCES = {"s1": "bbaf2n", "s2": "lgio8p", "s4": "srwu5a", "s29": "pwbezs"}
"""Voices of SynthGRID that it was not trained on."""


@pytest.fixture(scope="module")
def read() -> dict[str, dict[str, str]]:
    """Way of decoding → speaker → text."""
    model = load_las()
    texts: dict[str, dict[str, str]] = {"greedy": {}, "free": {}, "grammar": {}}
    for speaker, stem in SENTENCES.items():
        with torch.inference_mode():
            states = model.listen(torch.from_numpy(features(spoken(speaker, stem))).unsqueeze(0))
        texts["greedy"][speaker] = greedy(model, states)
        texts["free"][speaker] = decode(model, states)
        texts["grammar"][speaker] = decode(model, states, grammar=True)
    return texts


def test_it_reads_voices_that_it_never_heard(read: dict[str, dict[str, str]]) -> None:
    for way in ("free", "grammar"):
        errors = sum(
            compare(sentence_of(stem), read[way][speaker]).words.errors
            for speaker, stem in SENTENCES.items()
        )
        assert errors <= 3, (way, read[way])
    assert all(is_stem(stem_of(text)) for text in read["grammar"].values())


def test_what_is_not_grids_speech_is_no_sentence() -> None:
    """The speller writes six grammatical words for any of these."""
    rng = np.random.default_rng(0)
    said = speak("the quick brown fox jumps over the lazy dog", "en-gb-x-rp", 165, 45, 50)
    english = resample(np.pad(said.samples / 32768, 8000), said.rate_hz, 16_000)
    sounds = [rng.normal(0, 0.05, 48_000), np.zeros(48_000), np.tile(tone(100), 3), english]
    recognizer = registry.create("las")
    assert recognizer.transcribe(sounds) == ["", "", "", ""]  # type: ignore[attr-defined]


def test_a_muted_letter_is_no_letter() -> None:
    said = speak(spelled("prio4p"), "en-gb-x-rp", 165, 45, 50)
    samples = np.asarray(said.samples / 32768)
    for muted in (False, True):
        if muted:
            samples[slice(*(round(t * said.rate_hz) for t in said.words_s[3:5]))] = 0
        sound = resample(np.pad(samples, 8000), said.rate_hz, 16_000)
        text = registry.create("las").transcribe([sound])[0]  # type: ignore[attr-defined]
        heard = text.split()
        assert heard[:3] == ["place", "red", "in"]
        assert heard[-2:] == ["four", "please"]
        assert len(heard) == (5 if muted else 6)


def test_words_that_ctc_does_not_hear_are_left_out() -> None:
    words = ["place", "green", "with", "two", "again"]
    path = tokens_of(" ".join(words))
    log_probs = torch.full((3 * len(path), VOCABULARY_SIZE), -7.0)
    log_probs[:, BLANK] = 0.0
    log_probs[range(0, 3 * len(path), 3), path] = 0.0
    log_probs[range(0, 3 * len(path), 3), BLANK] = -7.0
    log_probs = log_probs.log_softmax(-1)
    assert heard_words(log_probs, words) == words
    assert heard_words(log_probs, [*words[:3], "x", *words[3:]]) == words
    assert heard_words(log_probs, ["lay", *words[1:3], "x", *words[3:]]) == [], "too little of it"
    assert heard_words(log_probs, ["now"]) == []
    assert heard_words(log_probs, []) == []


def test_both_decodings_of_a_clip_share_what_was_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: dict[str, dict[str, str]]
) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", spoken("s2", SENTENCES["s2"]), 16_000, subtype="FLOAT")
    recording = Recording(tmp_path / "a.wav")
    clip = RunClip("s2", SENTENCES["s2"], sentence_of(SENTENCES["s2"]), "male", "a.wav", "")
    pair = Pair(clip, recording, None, tmp_path)
    calls = []
    listen = Las.listen
    monkeypatch.setattr(Las, "listen", lambda *a: calls.append(1) or listen(*a))  # type: ignore[func-returns-value]
    for name, way in (("las", "free"), ("las-grammar", "grammar"), ("las", "free")):
        text = registry.create(name).transcript(pair)
        assert text == read[way]["s2"]
    assert len(calls) == 1


def test_grammar_is_a_second_column() -> None:
    metrics, absent = select(None, Settings(recognizer="las"))
    names = [metric.info.name for metric in metrics]
    assert not absent
    assert {"wer", "cer", "wer_grammar", "cer_grammar", "wer_grammar_floor"} <= set(names)
    assert names.index("wer") < names.index("wer_grammar")
    by_name = {metric.info.name: metric.info for metric in metrics}
    assert by_name["wer"].group == "headline"
    assert by_name["wer_grammar"].group == "recognition"
    sources = [by_name[name].parameters["source"] for name in ("wer", "wer_grammar")]
    assert sources[0] != sources[1]
    others, _ = select(None, Settings(recognizer="transcripts", transcripts_by="X"))
    assert not {metric.info.name for metric in others} & {"wer_grammar", "cer_grammar"}
    _, absent = select(["wer_grammar", "cer_grammar"], Settings(recognizer="whisper"))
    assert len(absent) == 2
    assert "las" in absent[0]


def test_las_listens_where_nobody_is_named(
    tmp_path: Path, make_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from evaluation.inputs.pairs import read_run
    from evaluation.scoring.settings import read_settings

    run = read_run(make_run(tmp_path / "run"))
    options = {"recognizer_path": None, "nisqa_weights": None, "any_nisqa_weights": False}
    assert read_settings([run], recognizer=None, **options).recognizer == "las"  # type: ignore[arg-type]
    assert read_settings([run], recognizer="none", **options).recognizer == ""  # type: ignore[arg-type]
