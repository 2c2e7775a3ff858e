"""GRID's normalizer and the alignment that all rates are views of."""

from __future__ import annotations

import jiwer
import numpy as np
import pytest

from evaluation.inputs.text import compare, normalize
from manifests.grammar import VOCABULARY, sentence_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bin blue at F2, now.", "bin blue at f two now"),
        ("bin blue at 02 now", "bin blue at o two now"),  # Whisper's spelling of "o two"
        ("bin blue at O2 now", "bin blue at o two now"),
        ("bin blue at o two now", "bin blue at o two now"),
        ("bin blue at f 0 now", "bin blue at f zero now"),
        ("bin blue at f0 now", "bin blue at f zero now"),
        ("bin blue at f z now", "bin blue at f zero now"),
        ("bin blue at f zero now", "bin blue at f zero now"),
        ("place red at z z now", "place red at z zero now"),
        ("place red at z 4 now", "place red at z four now"),
        ("place red at zed four now", "place red at z four now"),
        ("place red at Zee zero now", "place red at z zero now"),
        ("SIL bin sp BLUE <sil>", "bin blue"),
        ("  bin\tblue\n", "bin blue"),
        ("Zéro, don’t!", "zero don't"),
        ("12", "one two"),
        ("'", ""),
        ("...", ""),
        ("", ""),
        ("٣", "three"),
    ],
)
def test_normalizer(text: str, expected: str) -> None:
    assert normalize(text) == expected
    assert normalize(expected) == expected, "a normal text stays as it is"


def test_every_sentence_of_the_grammar_is_normal() -> None:
    for letter in VOCABULARY[3]:
        for digit in VOCABULARY[4]:
            sentence = sentence_of(f"bba{letter}{digit}n")
            assert normalize(sentence) == sentence
            assert normalize(sentence.upper() + ".") == sentence


def test_counts_of_one_alignment() -> None:
    found = compare("bin blue at f two now", "uh bin blue at s two two")
    assert vars(found.words) == {"hits": 4, "substitutions": 2, "deletions": 0, "insertions": 1}
    assert found.words.rate_percent == pytest.approx(50)
    assert found.heard == ("bin", "blue", "at", "s", "two", "two")
    assert found.slots is not None
    assert found.slots["letter"] == ("f", "s")
    assert compare("bin blue", "bin blue").slots is None


def test_deleted_words_are_heard_as_nothing() -> None:
    found = compare("bin blue at f two now", "bin blue f now")
    assert found.heard == ("bin", "blue", "", "f", "", "now")
    silent = compare("bin blue at f two now", "")
    assert (silent.words.rate_percent, silent.characters.rate_percent) == (100, 100)
    assert silent.heard == ("",) * 6
    assert compare("bin", "a b c").words.rate_percent == 300


def test_a_reference_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no words"):
        compare("sil", "bin blue")


def edits(one: list[str], other: list[str]) -> int:
    """Levenshtein distance, by the textbook's table."""
    row = np.arange(len(other) + 1)
    for i, a in enumerate(one, 1):
        before, row[0] = row.copy(), i
        for j, b in enumerate(other, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
    return int(row[-1])


def test_errors_are_levenshtein_and_pooling_is_jiwers() -> None:
    rng = np.random.default_rng(0)
    words = [word for slot in VOCABULARY for word in slot.values()]
    references, hypotheses, found = [], [], []
    for _ in range(60):
        said = [str(rng.choice(words)) for _ in range(rng.integers(1, 8))]
        heard = [str(rng.choice(words)) if rng.random() < 0.3 else w for w in said]
        heard = [w for w in heard if rng.random() > 0.15] + ["now"] * int(rng.integers(0, 2))
        references.append(normalize(" ".join(said)))
        hypotheses.append(normalize(" ".join(heard)))
        found.append(compare(references[-1], hypotheses[-1]))
        counts = found[-1].words
        assert counts.errors == edits(references[-1].split(), hypotheses[-1].split())
        assert counts.length == len(references[-1].split())
        assert found[-1].characters.errors == edits(list(references[-1]), list(hypotheses[-1]))
    for kind, oracle in (("words", jiwer.wer), ("characters", jiwer.cer)):
        counts = [getattr(item, kind) for item in found]
        pooled = sum(c.errors for c in counts) / sum(c.length for c in counts)
        weighted = np.average([c.rate_percent for c in counts], weights=[c.length for c in counts])
        assert pooled == pytest.approx(oracle(references, hypotheses))
        assert weighted == pytest.approx(100 * pooled)
