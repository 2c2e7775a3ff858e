"""Pairs of lips and faces: drawn in balance, written and read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from facetron.synthesis.swaps import Pair, draw_pairs, read_pairs, write_pairs
from manifests.errors import BadInput
from manifests.records import ManifestRow

GENDERS = {"s1": "male", "s2": "male", "s4": "female", "s29": "female"}


def rows(clips: int = 10, genders: dict[str, str] | None = None) -> list[ManifestRow]:
    return [
        ManifestRow(
            speaker, gender, f"stem{n}", "", "test", (), {}, 75, 48_000, 16_000, 150, 0, (), {},
            "", "", {},
        )
        for speaker, gender in (genders or GENDERS).items()
        for n in range(clips)
    ]  # fmt: skip


def test_thirty_pairs_are_balanced() -> None:
    pairs = draw_pairs(rows(), 30, seed=0, unseen=("s4", "s29"))
    assert len(set(pairs)) == 30
    same = [GENDERS[p.speaker] == GENDERS[p.voice] for p in pairs]
    assert sum(same) == 15
    for counts in (Counter(p.speaker for p in pairs), Counter(p.voice for p in pairs)):
        assert set(counts) == set(GENDERS)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert all(p.speaker != p.voice for p in pairs)
    assert all(bool(p.voice_stem) == (p.voice in ("s4", "s29")) for p in pairs)
    assert len({(p.speaker, p.stem) for p in pairs}) == 30  # so few pairs repeat no sentence


def test_the_seed_decides() -> None:
    first = draw_pairs(rows(), 12, seed=0, unseen=())
    assert draw_pairs(list(reversed(rows())), 12, seed=0, unseen=()) == first
    assert draw_pairs(rows(), 12, seed=1, unseen=()) != first


def test_every_pair_there_is_can_be_drawn() -> None:
    pairs = draw_pairs(rows(3), 36, seed=0, unseen=())
    assert len({(p.speaker, p.stem, p.voice) for p in pairs}) == 36
    men = draw_pairs(rows(2, {"s1": "male", "s2": "male"}), 4, seed=0, unseen=())
    assert len(set(men)) == 4
    for n in (0, 37):
        with pytest.raises(BadInput, match="4 speakers make 36 pairs"):
            draw_pairs(rows(3), n, seed=0, unseen=())
    with pytest.raises(BadInput, match="1 speakers make 0 pairs"):
        draw_pairs(rows(3, {"s1": "male"}), 1, seed=0, unseen=())


def test_a_file_comes_back(tmp_path: Path) -> None:
    pairs = [Pair("s1", "bbaf2n", "s4"), Pair("s1", "bbaf3s", "s2", "lrwm5s")]
    write_pairs(tmp_path / "pairs.csv", pairs)
    assert read_pairs(tmp_path / "pairs.csv") == pairs
    (tmp_path / "short.csv").write_text("voice,speaker,stem\ns4,s1,bbaf2n\n")
    assert read_pairs(tmp_path / "short.csv") == pairs[:1]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("speaker,stem\ns1,a\n", "no column voice"),
        ("speaker,stem,voice\ns1,a,s1\n", "line 2"),
        ("speaker,stem,voice\ns1,a,s2\ns1,a,s2\n", "line 3"),
        ("speaker,stem,voice\ns1,,s2\n", "line 2"),
        ("speaker,stem,voice\n", "holds no pairs"),
        ("", "is empty"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(BadInput, match=word) as error:
        read_pairs(tmp_path / "pairs.csv")
    assert "pairs.csv" in str(error.value)


def test_a_spreadsheet_s_file_is_the_same(tmp_path: Path) -> None:
    text = "Speaker;STEM;Voice\r\nS1;BBAF2N;04\r\n"
    (tmp_path / "pairs.csv").write_bytes(text.encode("utf-16"))
    assert read_pairs(tmp_path / "pairs.csv") == [Pair("s1", "bbaf2n", "s4")]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_pairs(tmp_path / "none.csv")
