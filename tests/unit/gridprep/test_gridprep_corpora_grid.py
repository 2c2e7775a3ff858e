"""Finding clips in any layout, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gridprep.corpora.base import walk
from gridprep.corpora.grid import Corpus, find_clips
from manifests.corpus_lists import expected_stems_of
from manifests.errors import BadInput
from manifests.ordering import natural

S1, S2, S5, S6 = (expected_stems_of(s)[:4] for s in ("s1", "s2", "s5", "s6"))

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes files of one byte below the corpus."""

    def write(*paths: str) -> Path:
        for name in paths:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return tmp_path

    return write


def ids(corpus: Corpus) -> list[str]:
    return [clip.clip_id for clip in corpus.clips]


@pytest.mark.parametrize(
    ("video", "alignment"),
    [
        ("s1/{}.mpg", "alignments/s1/{}.align"),
        ("s1/{}.mpg", "s1/align/{}.align"),
        ("s1/{}.mpg", "s1/{}.align"),
        ("s1/{}.mpg", "align/{}.align"),
        ("s1/video/mpg_vcd/s1/{}.mpg", "s1/align/{}.align"),
        ("s1.mpg_vcd/s1/{}.mpg", "alignments/s1/{}.align"),
        ("s1.mpg_vcd/{}.mpg", "align/s1/{}.align"),
        ("video/S01/{}.MPG", "align/S01/{}.ALIGN"),
        ("{}.mpg", "{}.align"),
        ("s1_processed/{}.mp4", "s1/align/{}.align"),
        ("Grün und weiß/s1/{}.avi", "Grün und weiß/alignments/s1/{}.align"),
        ("s1/{}.mkv", "alignments/s1/{}.align"),
        ("s1_{}.mpg", "s1_{}.align"),
        ("id1_vcd_{}.mpg", "align/{}.align"),
        ("clips/S1-{} (1).MPG", "align/{}_words.align"),
    ],
)
def test_layouts(make: Make, video: str, alignment: str) -> None:
    root = make(*(pattern.format(stem) for stem in S1 for pattern in (video, alignment)))
    corpus = find_clips(root)
    assert ids(corpus) == [f"s1/{stem}" for stem in S1]
    for clip in corpus.clips:
        assert clip.video == str(root / video.format(clip.stem))
        assert clip.alignment == str(root / alignment.format(clip.stem))
        assert clip.repairs == ()
    assert (corpus.failures, corpus.claims, corpus.duplicates) == ((), (), ())
    assert corpus.orphan_alignments == 0


def test_stems_in_capitals_are_stems(make: Make) -> None:
    root = make(f"s1/{S1[0].upper()}.MPG", f"s1/align/{S1[0]}.align")
    (clip,) = find_clips(root).clips
    assert clip.stem == S1[0]
    assert clip.alignment


def test_the_folder_of_one_speaker_is_a_corpus(make: Make) -> None:
    root = make(*(f"s1/{stem}.mpg" for stem in S1))
    assert ids(find_clips(root / "s1")) == [f"s1/{stem}" for stem in S1]


def test_clips_are_ordered_by_number_of_the_speaker(make: Make) -> None:
    ten = expected_stems_of("s10")[0]
    root = make(f"s10/{ten}.mpg", f"s2/{S2[0]}.mpg", f"s1/{S1[1]}.mpg", f"s1/{S1[0]}.mpg")
    assert ids(find_clips(root)) == [f"s1/{S1[0]}", f"s1/{S1[1]}", f"s2/{S2[0]}", f"s10/{ten}"]
    assert sorted(["s10", "s2", "?", "s1"], key=natural) == ["s1", "s2", "s10", "?"]


def test_swapped_alignment_folders_are_paired_by_stem(make: Make) -> None:
    root = make(
        *(f"s5/{stem}.mpg" for stem in S5),
        *(f"s6/{stem}.mpg" for stem in S6),
        *(f"alignments/s6/{stem}.align" for stem in S5),
        *(f"alignments/s5/{stem}.align" for stem in S6),
    )
    corpus = find_clips(root)
    assert all(clip.repairs == ("alignment_folder",) for clip in corpus.clips)
    assert all(Path(clip.alignment).stem == clip.stem for clip in corpus.clips)
    assert [(c.kind, c.claimed, c.holds, c.files, c.folder, c.own) for c in corpus.claims] == [
        ("alignment_folder", "s5", "s6", 4, "alignments/s5", 0),
        ("alignment_folder", "s6", "s5", 4, "alignments/s6", 0),
    ]


def test_a_stray_clip_goes_to_its_speaker(make: Make) -> None:
    root = make(*(f"s1/{stem}.mpg" for stem in S1), f"s1/{S2[0]}.mpg")
    corpus = find_clips(root)
    stray = corpus.clips[-1]
    assert (stray.speaker, stray.found_speaker, stray.repairs) == ("s2", "s1", ("speaker_folder",))
    (claim,) = corpus.claims
    assert (claim.claimed, claim.holds, claim.files, claim.own) == ("s1", "s2", 1, 4)


def test_an_alignment_in_the_right_folder_is_preferred(make: Make) -> None:
    root = make(f"s5/{S5[0]}.mpg", f"align/s5/{S5[0]}.align", f"align/s1/{S5[0]}.align")
    (clip,) = find_clips(root).clips
    assert clip.alignment == str(root / "align" / "s5" / f"{S5[0]}.align")
    assert clip.repairs == ()


def test_duplicates_keep_the_right_folder_then_the_original_container(make: Make) -> None:
    stem = S1[0]
    root = make(f"s1/{stem}.mp4", f"s1/copy/{stem}.mpg", f"s2/{stem}.mpg", f"s1/{stem}.avi")
    corpus = find_clips(root)
    (clip,) = corpus.clips
    assert clip.video == str(root / "s1" / "copy" / f"{stem}.mpg")
    used = f"s1/copy/{stem}.mpg"
    others = {f"s1/{stem}.mp4", f"s1/{stem}.avi", f"s2/{stem}.mpg"}
    assert set(corpus.duplicates) == {(used, other) for other in others}


def test_a_name_that_is_the_stem_is_preferred(make: Make) -> None:
    stem = S1[0]
    (clip,) = find_clips(make(f"s1/{stem} (1).mpg", f"s1/a_{stem}.mpg", f"s1/{stem}.mpg")).clips
    assert clip.video.endswith(f"s1/{stem}.mpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_never_opened(make: Make, tmp_path: Path) -> None:
    """A named pipe would be waited for, a device never ends."""
    root = make(f"s1/{S1[0]}.mpg")
    os.mkfifo(root / "s1" / "x.mpg")
    os.mkfifo(root / "s1" / f"{S1[1]}.mpg")
    os.mkfifo(root / "s1" / f"{S1[0]}.align")
    os.symlink("/dev/zero", root / "s1" / f"{S1[2]}.mpg")
    corpus = find_clips(root)
    assert ids(corpus) == [f"s1/{S1[0]}"]
    assert corpus.clips[0].alignment == ""
    assert {(f.stem, f.reason) for f in corpus.failures} == {
        ("x", "not_a_file"),
        (S1[1], "not_a_file"),
        (S1[2], "not_a_file"),
    }


def test_unopened_archives_are_named(make: Make) -> None:
    root = make("s1.zip", "more/s2.ZIP", "more/alignments.zip", "s3.zip", "._s4.zip")
    with pytest.raises(BadInput, match=r"4 archives that are not unpacked \(.*gridprep unpack"):
        find_clips(root)
    make(f"s1/{S1[0]}.mpg")
    assert find_clips(root).archives == (
        "more/alignments.zip",
        "more/s2.ZIP",
        "s1.zip",
        "s3.zip",
    )


def test_litter_is_counted_and_passed_over(make: Make) -> None:
    root = make(
        f"s1/{S1[0]}.mpg",
        f"s1/._{S1[0]}.mpg",
        "s1/Thumbs.db",
        "s1/.DS_Store",
        f"__MACOSX/s1/._{S1[0]}.mpg",
        f"s1/._{S1[0]}.align",
        f".hidden/{S1[1]}.mpg",
        "README.txt",
    )
    corpus = find_clips(root)
    assert ids(corpus) == [f"s1/{S1[0]}"]
    assert corpus.junk_files == 5
    assert corpus.failures == ()


def test_names_that_are_no_clips_are_failures(make: Make) -> None:
    two = f"s1/{S1[1]}_{S1[2]}.mpg"  # which of them is it?
    root = make(f"s1/{S1[0]}.mpg", "s1/trailer.mpg", "s2/bbaw2n.mpg", two)
    corpus = find_clips(root)
    assert ids(corpus) == [f"s1/{S1[0]}"]
    assert [(f.speaker, f.reason) for f in corpus.failures] == [
        ("s1", "not_a_stem"),
        ("s1", "not_a_stem"),
        ("s2", "not_a_stem"),
    ]
    assert "s2/bbaw2n.mpg" in corpus.failures[-1].detail


def test_a_sentence_that_nobody_said_is_a_failure(make: Make) -> None:
    from manifests.corpus_lists import speaker_of

    stem = next(
        f"bb{p}{letter}{d}{a}"
        for p in "abiw"
        for letter in "bcd"
        for d in "123456789z"
        for a in "anps"
        if speaker_of(f"bb{p}{letter}{d}{a}") is None
    )
    corpus = find_clips(make(f"s1/{S1[0]}.mpg", f"{stem}.mpg"))
    (failure,) = corpus.failures
    assert (failure.speaker, failure.stem, failure.reason) == ("?", stem, "unknown_stem")


def test_orphan_alignments_are_counted(make: Make) -> None:
    root = make(f"s1/{S1[0]}.mpg", *(f"alignments/s2/{stem}.align" for stem in S2))
    assert find_clips(root).orphan_alignments == 4


def test_a_clip_without_alignment(make: Make) -> None:
    (clip,) = find_clips(make(f"s1/{S1[0]}.mpg")).clips
    assert clip.alignment == ""


def test_the_crops_of_a_build_inside_the_corpus_are_no_clips(make: Make) -> None:
    root = make(f"s1/{S1[0]}.mpg", f"features/lips/s1/{S1[1]}.avi", f"features/lips/s1/{S1[0]}.avi")
    (root / "features" / ".state").mkdir()
    corpus = find_clips(root)
    assert ids(corpus) == [f"s1/{S1[0]}"]
    assert corpus.duplicates == ()


def test_links_are_followed_once(make: Make, tmp_path: Path) -> None:
    root = make("corpus/readme", f"elsewhere/{S1[0]}.mpg") / "corpus"
    os.symlink(tmp_path / "elsewhere", root / "s1")
    os.symlink(root, root / "loop")
    os.symlink(root / "self", root / "self")
    os.symlink(root / "gone.mpg", root / f"{S1[1]}.mpg")
    corpus = find_clips(root)
    assert ids(corpus) == [f"s1/{S1[0]}", f"s1/{S1[1]}"]
    assert corpus.clips[0].found_speaker == "s1"
    assert corpus.duplicates == ()


def test_a_folder_goes_by_its_own_name_where_a_link_leads_to_it_too(make: Make) -> None:
    root = make(f"s1/{S1[0]}.mpg", f"s1/align/{S1[0]}.align")
    os.symlink(root / "s1", root / "a_link")
    os.symlink(root / "s1", root / "z_link")
    (clip,) = find_clips(root).clips
    assert (clip.video, clip.found_speaker) == (str(root / "s1" / f"{S1[0]}.mpg"), "s1")
    assert clip.alignment == str(root / "s1/align" / f"{S1[0]}.align")
    assert [entry.folder for entry in walk(str(root))] == ["s1", "s1/align"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere does not exist"):
        find_clips(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is not a folder"):
        find_clips(tmp_path / "file")


def test_no_video(make: Make) -> None:
    with pytest.raises(BadInput, match="holds no video file"):
        find_clips(make("s1/readme.txt", f"alignments/s1/{S1[0]}.align"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_named(make: Make) -> None:
    root = make(f"s1/{S1[0]}.mpg", f"s2/{S2[0]}.mpg")
    (root / "s2").chmod(0)
    try:
        with pytest.raises(BadInput, match=r"s2 cannot be read \(Permission denied\)"):
            find_clips(root)
    finally:
        (root / "s2").chmod(0o755)


def test_file_names_that_are_no_utf8(make: Make) -> None:
    root = make(f"s1/{S1[0]}.mpg")
    try:
        open(os.fsencode(root) + b"/s1/caf\xe9.mpg", "wb").close()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (failure,) = find_clips(root).failures
    assert failure.reason == "not_a_stem"
