"""Who is in GRID: counts, genders, ownership of stems, and the tool that made the lists."""

from __future__ import annotations

import gzip
import time

import pytest

from manifests import build_lists, corpus_lists
from manifests.corpus_lists import SPEAKERS
from manifests.errors import BadInput
from manifests.grammar import is_stem


def test_33_speakers_in_the_order_of_their_numbers_without_s21() -> None:
    assert len(SPEAKERS) == 33
    assert SPEAKERS[:3] == ("s1", "s2", "s3")
    assert SPEAKERS[19:21] == ("s20", "s22")


def test_expected_counts_are_those_of_the_distributed_files() -> None:
    counts = corpus_lists.expected_counts()
    short = {speaker: n for speaker, n in counts.items() if n != 1000}
    assert short == {"s4": 999, "s7": 999, "s8": 889, "s15": 983}
    assert sum(counts.values()) == 32_870


def test_known_counts_add_the_six_clips_of_the_other_list() -> None:
    expected = corpus_lists.expected_counts()
    known = {s: corpus_lists.speaker_info(s).clips_known for s in SPEAKERS}
    more = {s: known[s] - expected[s] for s in SPEAKERS if known[s] != expected[s]}
    assert more == {"s4": 1, "s8": 5}
    assert sum(known.values()) == 32_876


def test_counts_of_the_table_are_the_lengths_of_the_lists() -> None:
    for speaker in SPEAKERS:
        stems = corpus_lists.stems_of(speaker)
        expected = corpus_lists.expected_stems_of(speaker)
        assert len(stems) == corpus_lists.speaker_info(speaker).clips_known
        assert len(expected) == corpus_lists.expected_counts()[speaker]
        assert set(expected) <= set(stems)
        assert list(stems) == sorted(stems)


def test_every_stem_is_of_the_grammar_and_belongs_to_one_speaker() -> None:
    stems = [stem for speaker in SPEAKERS for stem in corpus_lists.stems_of(speaker)]
    assert len(stems) == len(set(stems)) == 32_876
    assert all(is_stem(stem) for stem in stems)


@pytest.mark.parametrize(
    ("stem", "speaker"),
    [("bbaf2n", "s1"), ("bbizzn", "s1"), ("bbab8n", "s10"), ("bbab9n", "s34"), ("pwbx6s", "s4")],
)
def test_owner_of_a_stem(stem: str, speaker: str) -> None:
    assert corpus_lists.speaker_of(stem) == speaker
    assert stem in corpus_lists.stems_of(speaker)


@pytest.mark.parametrize("stem", ["", "xxxxxx", "bbaf2n.mpg", "BBAF2N"])
def test_an_unknown_stem_has_no_owner(stem: str) -> None:
    assert corpus_lists.speaker_of(stem) is None


def test_genders_of_the_sources() -> None:
    women = {int(s[1:]) for s in (*SPEAKERS, "s21") if corpus_lists.gender_of(s) == "female"}
    assert women == {4, 7, 11, 15, 16, 18, 20, 21, 22, 23, 24, 25, 29, 31, 33, 34}
    assert corpus_lists.gender_counts(SPEAKERS) == (18, 15)


def test_the_disagreement_with_the_paper_is_stated_in_numbers() -> None:
    note = corpus_lists.gender_note()
    for words in ("18 men and 16 women", "18 men and 15 women", "17 men, 16 women", "s21"):
        assert words in note


def test_s21_has_a_gender_and_no_clips() -> None:
    assert corpus_lists.stems_of("s21") == ()
    assert corpus_lists.speaker_info("s21").note == "no video was released"
    assert "s21" not in corpus_lists.expected_counts()


@pytest.mark.parametrize("speaker", ["s0", "s35", "1", "S1", ""])
def test_an_unknown_speaker_is_refused(speaker: str) -> None:
    with pytest.raises(BadInput, match="is not a GRID speaker"):
        corpus_lists.gender_of(speaker)
    with pytest.raises(BadInput):
        corpus_lists.stems_of(speaker)


def test_changing_a_returned_table_changes_nothing() -> None:
    corpus_lists.expected_counts()["s1"] = 0
    assert corpus_lists.expected_counts()["s1"] == 1000


def test_looking_up_keeps_pace_with_planning() -> None:
    stems = [stem for speaker in SPEAKERS for stem in corpus_lists.stems_of(speaker)]
    started_s = time.perf_counter()
    for stem in stems:
        corpus_lists.speaker_of(stem)
    assert time.perf_counter() - started_s < 1.0  # 30 ms here; planning needs 3,000 clips/s


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s1", ("s1",)),
        ("s2,s1,s2", ("s1", "s2")),
        ("s10 s9", ("s9", "s10")),
        ("s20-s23", ("s20", "s22", "s23")),
        ("s1, s33-s34", ("s1", "s33", "s34")),
        ("all", SPEAKERS),
    ],
)
def test_speakers_out_of_an_option(text: str, expected: tuple[str, ...]) -> None:
    assert corpus_lists.parse_speakers(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s21", "s21 has no video"),
        ("s35", "'s35' is not a speaker"),
        ("0", "'0' is not a speaker"),
        ("S21", "s21 has no video"),
        ("s100", "'s100' is not a speaker"),
        ("bob", "'bob' is not a speaker"),
        ("s3-s1", "runs backwards"),
        ("s1-", "'' is not a speaker"),
        ("", "names no speaker"),
        (" , ", "names no speaker"),
    ],
)
def test_a_wrong_speaker_option_is_explained(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        corpus_lists.parse_speakers(text)


TABLE = "stem\tspeaker\tin_list_a\tin_list_b\n"


def test_the_list_tool_sorts_counts_and_repeats_itself(tmp_path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text(TABLE + "bbaf3s\ts10\t1\t0\nbbaf2n\ts2\t0\t1\nbbaf1a\ts10\t1\t1\n")
    rows = build_lists.read_table(table)
    assert [row[:2] for row in rows] == [("s2", "bbaf2n"), ("s10", "bbaf1a"), ("s10", "bbaf3s")]
    packed = build_lists.compress(build_lists.stems_csv(rows))
    assert packed == build_lists.compress(build_lists.stems_csv(rows))
    assert gzip.decompress(packed).splitlines()[1] == b"s2,bbaf2n,0,1"
    text = build_lists.speakers_csv(rows).decode()
    assert "\ns10,male,2,1,2,\n" in text
    assert "\ns2,male,0,1,1,\n" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("stem\tspeaker\n", "lacks the column in_list_a, in_list_b"),
        (TABLE + "bbaf2n\ts1\t1\t1\nbbaf2n\ts2\t1\t1\n", "gives bbaf2n to two speakers"),
        (TABLE + "bbaf2n\tspeaker1\t1\t1\n", "'speaker1' is not a GRID speaker"),
    ],
)
def test_the_list_tool_refuses_a_wrong_table(tmp_path, content: str, said: str) -> None:
    table = tmp_path / "table.tsv"
    table.write_text(content)
    with pytest.raises(BadInput, match=said):
        build_lists.read_table(table)
