"""Training of the recognizer: what sentences are made of, how they are varied, and that a training
that was killed ends like one that was not."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.inputs.text import compare
from evaluation.models.las import WEIGHTS, Las, LasSpec
from evaluation.models.las_features import BLANK, EOS, features, tokens_of
from evaluation.training import recognizer as training
from evaluation.training import recognizer_command
from evaluation.training.common import average_into, learning_rate, read_state, write_state
from evaluation.training.recognizer import (
    IGNORED,
    Material,
    RecognizerTrainingOptions,
    Sampler,
    targets,
    train,
)
from evaluation.training.recognizer_augment import (
    colored_noise,
    faster,
    mask,
    placed,
    through_mel,
    vary,
)
from evaluation.training.recognizer_data import (
    FLITE_VOICES,
    Clip,
    espeak_clips,
    flite_clips,
    join,
    random_stem,
    splice,
)
from evaluation.training.recognizer_report import Rates, card_text, pooled
from manifests.errors import BadInput, MissingDependency
from manifests.grammar import is_stem, stem_of

WORD = 1600


def clip(level: int, sentence: str, speaker: str = "real/s1", lead: int = 800) -> Clip:
    """Six words of a tenth of a second, all of one value, between silences."""
    samples = np.zeros(lead + 6 * WORD + 400, dtype=np.int16)
    samples[lead : lead + 6 * WORD] = level
    edges = tuple(lead + k * WORD for k in range(7))
    return Clip(speaker, samples, tuple(sentence.split()), edges)


ONE = clip(8192, "bin blue at f two now")
TWO = clip(-16384, "set red with z nine soon", lead=1000)


def test_words_of_two_clips_are_joined() -> None:
    made = join([ONE, ONE, TWO, TWO, TWO, ONE])
    assert made.sentence == "bin blue with z nine now"
    assert (made.start, made.end) == (800, 800 + 6 * WORD)
    assert len(made.samples) == len(ONE.samples)
    middles = [float(made.samples[800 + k * WORD + WORD // 2]) for k in range(6)]
    assert middles == pytest.approx([0.25, 0.25, -0.5, -0.5, -0.5, 0.25], abs=1e-3)
    jumps = np.abs(np.diff(made.samples[900 : 700 + 6 * WORD]))
    assert jumps.max() < 0.02, "cuts are faded"


def test_a_clip_joined_with_itself_is_itself() -> None:
    made = join([ONE] * 6)
    assert np.array_equal(made.samples, ONE.sound(0, len(ONE.samples)))


def test_splices_avoid_forbidden_sentences() -> None:
    rng = np.random.default_rng(0)
    made = {stem_of(splice([ONE, TWO], rng, (), 1.0).sentence) for _ in range(300)}
    assert len(made) == 16, "command, middle, digit and adverb of either"
    middles = {stem[1:4] for stem in made}
    assert middles == {"baf", "rwz"}, "prepositions and letters stay with their neighbors"
    allowed = {"bbaf2n", "srwz9s"}
    forbidden = made - allowed
    again = {stem_of(splice([ONE, TWO], rng, forbidden, 1.0).sentence) for _ in range(100)}
    assert not again & forbidden
    assert {stem_of(splice([ONE, TWO], rng, (), 0.0).sentence) for _ in range(30)} == allowed


def test_a_wanted_letter_is_said_where_the_speaker_has_said_it() -> None:
    rng = np.random.default_rng(0)
    for share in (0.0, 1.0):
        made = {stem_of(splice([ONE, TWO], rng, (), share, letter="z").sentence) for _ in range(60)}
        assert {stem[3] for stem in made} == {"z"}
        assert len(made) == (1 if share == 0 else 8), "all else is joined as before"
    made = {stem_of(splice([ONE, TWO], rng, (), 0.0, letter="q").sentence) for _ in range(60)}
    assert made == {"bbaf2n", "srwz9s"}, "nobody said it"


def test_clips_without_known_words_are_never_cut() -> None:
    whole = replace(ONE, edges_samples=(800,) * 6 + (800 + 6 * WORD,), whole=True)
    rng = np.random.default_rng(0)
    for _ in range(20):
        made = splice([whole, whole], rng, (), 1.0)
        assert np.array_equal(made.samples, ONE.sound(0, len(ONE.samples)))
        assert (made.start, made.end) == (800, 800 + 6 * WORD)


@pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")
def test_flite_speaks_whole_sentences() -> None:
    clips = flite_clips(1, np.random.default_rng(0), ())
    assert [clip.speaker for clip in clips] == [f"flite/{voice}" for voice in FLITE_VOICES]
    for clip in clips:
        assert is_stem(stem_of(clip.sentence))
        assert clip.whole
        assert 0 <= clip.edges_samples[0] < clip.edges_samples[-1] <= len(clip.samples)


def test_the_voices_of_flite_need_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependency, match="need the program flite"):
        flite_clips(1, np.random.default_rng(0), ())


def test_large_unseen_hears_none_of_its_speakers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(root: Path, source: str, left_out: tuple[str, ...]) -> tuple[list[Clip], ...]:
        speakers = [f"{source}/{name}" for name in ("s1", "s3", "s5")]
        clips = [replace(ONE, speaker=speaker) for speaker in speakers]
        kept = [c for c in clips if c.speaker.split("/")[1] not in left_out]
        return kept, [], [c for c in clips if c not in kept]

    monkeypatch.setattr(recognizer_command, "read_build", build)
    monkeypatch.setattr(recognizer_command, "espeak_clips", lambda *_: [])
    monkeypatch.setattr(recognizer_command, "flite_clips", lambda *_: [])
    for name, told in (("seen", {"s1", "s3"}), ("large-unseen", {"s3", "s5"})):
        protocol = recognizer_command.PROTOCOLS[name]
        material, sets = recognizer_command.read_material(tmp_path, tmp_path, 0, protocol)
        found = recognizer_command.heard(material)
        assert set(found["real"]) == told
        assert found["real"]["s3"] == "bbaf2n"
        assert set(found["synth"]) == {"s3", "s5"}
        left_out = recognizer_command.left_out(protocol)[0].replace(":", "").split()
        assert not told & set(left_out)
    assert "GRID s1, never heard" in sets


def test_espeak_speaks_new_sentences_with_their_words_in_order() -> None:
    rng = np.random.default_rng(0)
    clips = espeak_clips(2, 3, rng, ())
    assert len({c.speaker for c in clips}) == 2
    for made in clips:
        assert is_stem(stem_of(made.sentence))
        assert list(made.edges_samples) == sorted(set(made.edges_samples))
        assert made.edges_samples[-1] <= len(made.samples)
        spoken = made.sound(made.edges_samples[0], made.edges_samples[-1])
        assert float(np.sqrt((spoken**2).mean())) == pytest.approx(0.05, rel=0.02)
    assert random_stem(rng, ()) != random_stem(rng, ())


def test_sound_beyond_a_clip_is_silence() -> None:
    sound = ONE.sound(-10, len(ONE.samples) + 5)
    assert len(sound) == len(ONE.samples) + 15
    assert not sound[:10].any()
    assert not sound[-5:].any()


# --- variation -----------------------------------------------------------------------------------


def test_all_words_lie_in_the_window() -> None:
    rng = np.random.default_rng(1)
    spoken = join([ONE] * 6)
    for frames, hop in ((176, 200), (40, 200)):
        window, used, words = placed(spoken, frames, hop, rng)
        assert len(window) == (frames - 1) * used
        assert used >= hop
        assert np.allclose(window[words], 0.25, atol=1e-3)
        assert float((window != 0).sum()) == 6 * WORD, "nothing of the words is cut off"


def test_words_lie_at_the_edges_where_that_is_asked_for() -> None:
    rng = np.random.default_rng(1)
    spoken = join([ONE] * 6)
    start = end = both = 0
    for _ in range(200):
        window, used, words = placed(spoken, 60, 200, rng, edged=1.0)
        assert len(window) == 59 * used
        assert np.allclose(window[words], 0.25, atol=1e-3)
        assert float((window != 0).sum()) == 6 * WORD, "nothing of the words is cut off"
        first, last = words.start <= 400, len(window) - words.stop <= 459
        start, end, both = start + first, end + last, both + (first and last)
        assert first or last
    assert min(start - both, end - both, both) > 40
    inside = [placed(spoken, 60, 200, rng)[2].start >= 400 for _ in range(50)]
    assert all(inside), "none by default"


def test_varied_sentences_have_the_frames_that_were_asked_for() -> None:
    rng = np.random.default_rng(2)
    spoken = espeak_clips(1, 1, rng, ())[0]
    for strength in (0.0, 1.0):
        for _ in range(15):
            samples, hearing = vary(
                join([spoken] * 6), 190, rng, lambda: ONE.sound(0, 8000), strength
            )
            heard = mask(features(samples, hearing), rng)
            assert heard.shape == (190, 64)
            assert np.isfinite(heard).all()


def test_reach_widens_the_voices() -> None:
    spoken = join([ONE] * 6)
    found = [
        [vary(spoken, 300, np.random.default_rng(k), lambda: ONE.sound(0, 8000), 1.0, reach)[1]
         for k in range(40)]
        for reach in (1.0, 1.5)
    ]  # fmt: skip
    near, far = (np.std([np.log(hearing.warp) for hearing in hearings]) for hearings in found)
    assert 1.2 * near < far < 1.8 * near


def test_faster_speech_is_shorter_and_its_words_are_where_they_were() -> None:
    made = faster(join([ONE] * 6), 1.25)
    assert made.start == 640
    assert made.end == round((800 + 6 * WORD) / 1.25)
    assert np.allclose(made.samples[made.start + 5 : made.end - 5], 0.25, atol=1e-3)


def test_griffin_lim_keeps_what_is_heard() -> None:
    rng = np.random.default_rng(0)
    made = espeak_clips(1, 1, rng, ())[0]
    sound = made.sound(0, len(made.samples))
    again = through_mel(sound, rng, 32, 0.0)
    assert again.shape == sound.shape
    rough = through_mel(sound, rng, 1, 3.0)
    far = [float(np.abs(features(x) - features(sound)).mean()) for x in (again, rough)]
    assert far[0] < 0.3 < far[1], far


def test_noise_has_unit_power_and_the_length_asked_for() -> None:
    rng = np.random.default_rng(0)
    for length in (4001, 32_768):
        noise = colored_noise(length, rng)
        assert noise.shape == (length,)
        assert float((noise**2).mean()) == pytest.approx(1.0, rel=1e-3)


# --- training ------------------------------------------------------------------------------------


def test_targets() -> None:
    plain, lengths, ended = targets(["ab", "b"])
    a, b = tokens_of("ab")
    assert plain.tolist() == [[a, b], [b, BLANK]]
    assert lengths.tolist() == [2, 1]
    assert ended.tolist() == [[a, b, EOS], [b, EOS, IGNORED]]


def test_the_sampler_keeps_to_its_shares() -> None:
    clips = {"real/s1": [ONE], "real/s2": [TWO], "espeak/0": [ONE], "espeak/1": [ONE]}
    options = RecognizerTrainingOptions(
        shares=(("real/s1", 0.5), ("real", 0.25), ("synth", 0.1), ("espeak", 0.25))
    )
    sampler = Sampler(Material(clips, frozenset(), {}), options)
    rng = np.random.default_rng(0)
    drawn = [sampler.speaker(rng) for _ in range(2000)]
    shares = {name: drawn.count(name) / len(drawn) for name in clips}
    assert shares["real/s1"] == pytest.approx(0.5, abs=0.04)
    assert shares["real/s2"] == pytest.approx(0.25, abs=0.04)
    assert shares["espeak/0"] == pytest.approx(0.125, abs=0.03)
    first, again = sampler.batch(3), sampler.batch(3)
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]


def test_a_killed_training_ends_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = LasSpec(cnn_channels=(2, 2), rnn_units=8, states=8, attention=8, embedding=4)
    monkeypatch.setattr(training, "LasSpec", lambda: small)
    rng = np.random.default_rng(0)
    spoken = espeak_clips(1, 4, rng, ())
    material = Material({"espeak/0": spoken}, frozenset(), {"them": spoken[:2]})
    options = RecognizerTrainingOptions(steps=4, batch=2, epoch_steps=2)
    whole, recipes = train(tmp_path / "whole", material, options)
    assert recipes == [(0, asdict(options))]

    batch = Sampler.batch

    def killed(self: Sampler, step: int) -> tuple[torch.Tensor, list[str]]:
        if step == 3:
            raise KeyboardInterrupt
        return batch(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "batch", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", material, options)
    state = read_state(tmp_path / "parts" / "state.pt")
    assert state is not None
    assert state["step"] == 2
    resumed, recipes = train(tmp_path / "parts", material, options)
    assert len(recipes) == 1, "the same recipe was taken up"
    for name, value in whole.state_dict().items():
        assert torch.allclose(value.float(), resumed.state_dict()[name].float(), atol=1e-6), name
    log = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    assert len(log) == 2
    assert '"ctc_cer"' in log[0]


def test_a_training_goes_on_from_weights_and_leaves_them_as_they_are(tmp_path: Path) -> None:
    small = LasSpec(cnn_channels=(2, 2), rnn_units=8, states=8, attention=8, embedding=4)
    start = Las(small)
    before = {name: value.clone() for name, value in start.state_dict().items()}
    spoken = espeak_clips(1, 2, np.random.default_rng(0), ())
    material = Material({"espeak/0": spoken}, frozenset(), {})
    options = RecognizerTrainingOptions(steps=1, batch=2, epoch_steps=1, peak=1e-6)
    trained, _ = train(tmp_path, material, options, start)
    assert trained.spec == small
    for name, value in trained.named_parameters():
        assert torch.allclose(value, before[name], atol=1e-4), "it began with those weights"
    assert all(torch.equal(v, before[name]) for name, v in start.state_dict().items())


def test_the_card_of_a_training_that_went_on_counts_both() -> None:
    material = Material({"real/s2": [replace(ONE, speaker="real/s2")]}, frozenset(), {})
    before = {
        "trained_on": ["917 recordings"],
        "heard": {"real": {"s1": "bbaf3s bbaf2n", "s2": "srwz9s"}},
        "recipes": [{"from_step": 0, "steps": 2900}],
    }
    small = Las(
        LasSpec(cnn_channels=(2, 2), rnn_units=8, states=8, attention=8, embedding=4)
    ).eval()
    card = recognizer_command.card_of(
        small,
        material,
        {"one": [TWO]},
        [(0, {"steps": 100}), (50, {"steps": 90})],
        recognizer_command.PROTOCOLS["seen"],
        before,
    )
    assert card["heard"]["real"] == {"s1": "bbaf2n bbaf3s", "s2": "bbaf2n srwz9s"}
    assert "synth" not in card["heard"], "the card of before does not tell, so nobody knows"
    assert card["trained_on"][0] == "917 recordings"
    assert card["trained_on"][1].startswith("then 1 recordings of GRID")
    assert [(r["from_step"], r["steps"]) for r in card["recipes"]] == [
        (0, 2900),
        (2900, 3000),
        (2950, 2990),
    ]


def test_clips_that_the_weights_heard_are_not_measured_on() -> None:
    told = {"real": {"s1": stem_of(ONE.sentence)}}
    sets = {"both": [ONE, TWO], "heard": [ONE], "another": [replace(ONE, speaker="synth/s1")]}
    kept = recognizer_command.without_heard(sets, told)
    assert kept == {"both": [TWO], "another": sets["another"]}


def test_weights_that_heard_whom_the_protocol_keeps_are_refused(tmp_path: Path) -> None:
    from click.testing import CliRunner

    told = ["--real", tmp_path, "--synthetic", tmp_path, "--out", tmp_path / "out"]
    asked = ["--protocol", "large-unseen", "--from", WEIGHTS]
    done = CliRunner().invoke(recognizer_command.main, [str(a) for a in (*told, *asked)])
    assert done.exit_code != 0
    assert "was trained on s1, s2, s4" in str(done.exception) + done.output


def test_the_loss_falls_on_sentences_that_are_repeated() -> None:
    torch.manual_seed(0)
    model = Las(LasSpec(cnn_channels=(4, 4), rnn_units=16, states=32, attention=16, embedding=8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    heard, sentences = torch.randn(2, 60, 64), ["bin", "set"]
    values = []
    for _ in range(25):
        value = training.loss(model, heard, sentences, RecognizerTrainingOptions(misread=0.0))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.5 * values[0]


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(1.0, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates.index(max(rates)) == 4
    assert rates[-1] == pytest.approx(0.01)


def test_averages_move_by_their_share() -> None:
    mean, model = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    with torch.no_grad():
        mean.weight.fill_(1.0)
        model.weight.fill_(2.0)
        model.running_mean.fill_(7.0)  # type: ignore[union-attr]
    average_into(mean, model, 0.9)
    assert float(mean.weight.detach()) == pytest.approx(1.1)
    assert float(mean.running_mean) == 7.0  # type: ignore[arg-type]


def test_damaged_states_are_told(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    assert read_state(path) is None
    write_state(path, {"step": 3, "x": torch.ones(2)})
    found = read_state(path)
    assert found is not None
    assert found["step"] == 3
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(BadInput, match="remove it to start anew"):
        read_state(path)


# --- the card ------------------------------------------------------------------------------------


def test_rates_are_pooled() -> None:
    said = "bin blue at f two now"
    found = [compare(said, said), compare(said, "bin blue at s two"), compare(said, said)]
    rates = pooled(found)
    assert rates.wer == pytest.approx(100 * 2 / 18)
    assert rates.cer == pytest.approx(100 * 5 / 63)
    assert rates.letters == pytest.approx(200 / 3)
    assert 0 == rates.wer_low < rates.wer < rates.wer_high <= 34
    with pytest.raises(ValueError, match="no clips"):
        pooled([])


def test_the_card_tells_every_number() -> None:
    rates = Rates(3, 1.25, 2.5, 0.0, 5.0, 66.7)
    card = {
        "parameters": 1_300_000,
        "trained_on": ["a"],
        "left_out": ["b"],
        "use": ["c"],
        "rates": {"GRID s1, test": {"beam": vars(rates)}},
        "clips_per_s": 7.0,
    }
    text = card_text(card)
    assert "| GRID s1, test | 3 | beam | 1.2 | 2.5 | 0.0–5.0 | 67 |" in text
    assert "1,300,000 parameters" in text
    assert math.isfinite(rates.cer)
