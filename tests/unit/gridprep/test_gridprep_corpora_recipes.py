"""Each corpus in small, as its owner hands it out: recognized, found, and built to rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from miniatures import MINIATURES, Source

import gridprep
from gridprep.corpora.registry import RECIPES, recipe, recipe_for
from manifests.errors import BadInput, ClipError
from manifests.io import read_manifest, validate
from manifests.records import ManifestRow

ROWS: dict[str, list[tuple[object, ...]]] = {
    "lombard-grid": [
        ("lombard-s2", "l_sbia2n", "", "train", 62, "set blue in a two now", 6),
        ("lombard-s2", "p_bbaf1s", "", "train", 62, "bin blue at f one soon", 0),
        ("lombard-s46", "p_lgbm8n", "", "train", 62, "lay green by m eight now", 0),
    ],
    "tcd-timit": [
        ("08F", "sa1", "female", "train", 75,
         "she had your dark suit in greasy wash water all year", 0),
        ("Lipspkr1", "si1", "female", "train", 38, "", 0),
    ],
    "lrw": [
        ("about", "test_ABOUT_00001", "", "test", 29, "about", 1),
        ("about", "train_ABOUT_00001", "", "train", 29, "about", 1),
    ],
    "lrs": [
        ("0Fi83BHQsMA", "pretrain_00001", "", "train", 30, "now now", 2),
        ("0Fi83BHQsMA", "trainval_00002", "", "train", 50, "it's twenty one degrees", 0),
        ("81Ub0SMxZQo", "test_50001", "", "test", 38, "so what", 2),
    ],
    "cremad": [
        ("1001", "1001_DFA_ANG_XX", "male", "train", 55, "don't forget a jacket", 0),
        ("1002", "1002_IEO_HAP_HI", "female", "train", 55, "it's eleven o'clock", 0),
    ],
    "ravdess": [
        ("actor-01", "01-01-06-01-02-01-01", "male", "train", 80, "dogs are sitting by the door", 0),
        ("actor-12", "01-01-06-01-02-01-12", "female", "train", 80,
         "dogs are sitting by the door", 0),
    ],
    "voxceleb2": [
        ("id00012", "21Uxsk56VDQ_00001", "male", "train", 105, "", 0),
        ("id00017", "01dfn2spqyE_00001", "female", "test", 25, "", 0),
    ],
}  # fmt: skip
"""Kind → speaker, stem, gender, subset, frames, sentence, words with times of every row."""

FAILURES: dict[str, list[tuple[str, str]]] = {
    "lombard-grid": [("s27_l_bah2s_WRONG_sil", "not_a_stem")],
    "cremad": [("1002_ITS_SAD_XX", "not_media")],
}


@pytest.fixture(scope="session")
def source(synth_corpus: Path) -> Source:
    return Source.of(next((synth_corpus / "s4").glob("*.mpg")))


@pytest.fixture(scope="session")
def miniatures(tmp_path_factory: pytest.TempPathFactory, source: Source) -> dict[str, Path]:
    roots = {kind: tmp_path_factory.mktemp("mini") / kind for kind in MINIATURES}
    for kind, make in MINIATURES.items():
        make(roots[kind], source)
    return roots


def annotated(kind: str, root: Path) -> tuple[set[str], list[tuple[str, str]]]:
    """(flags of the annotations, reason and detail of those that fail) of a corpus."""
    flags: set[str] = set()
    failures = []
    for clip in recipe(kind).find(str(root)).clips:
        try:
            flags |= set(recipe(kind).annotate(clip).flags)
        except ClipError as error:
            failures.append((error.reason, error.detail))
    return flags, failures


def key(row: ManifestRow) -> tuple[object, ...]:
    frames, n_words = row.video_frames, len(row.words)
    return (row.speaker, row.stem, row.gender, row.subset, frames, row.sentence, n_words)


@pytest.mark.parametrize("kind", MINIATURES)
def test_a_corpus_is_recognized_and_built(
    kind: str, miniatures: dict[str, Path], tmp_path: Path, stub: str
) -> None:
    root = miniatures[kind]
    assert recipe_for(root).name == kind
    out = tmp_path / "out"
    report = gridprep.build(root, out, landmarks=stub, jobs=1, content="off")
    header, rows = read_manifest(out)
    validate(rows, out)
    assert [key(row) for row in rows] == ROWS[kind]
    assert all(row.audio_samples == 640 * row.video_frames for row in rows)
    assert all(row.mel_frames == 2 * row.video_frames for row in rows)
    assert [(f.stem, f.reason) for f in report.failures] == FAILURES.get(kind, [])
    assert header["corpus_kind"] == kind
    assert header["language"] == recipe(kind).language
    assert header["split"] == ""
    again = gridprep.build(root, out, landmarks=stub, jobs=1, content="off")
    assert (again.rows, again.processed) == (len(rows), 0)


def test_every_recipe_names_its_corpus_and_where_its_layout_is_from() -> None:
    for name in RECIPES:
        found = recipe(name)
        assert found.name == name
        assert len(found.title) > 10
        assert len(found.source) > 10
        with pytest.raises(BadInput, match="does not exist"):
            found.find("/absent/folder")


def test_a_long_clip_of_pretrain_is_cut_between_its_words(tmp_path: Path) -> None:
    video = tmp_path / "pretrain" / "0Fi83BHQsMA" / "00001.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"found, not decoded")
    lines = [f"NOW {i + 0.2:.2f} {i + 0.7:.2f} 7.1" for i in range(30)]
    text = ["Text:  " + " ".join(["NOW"] * 30), "", "WORD START END ASDSCORE", *lines]
    video.with_suffix(".txt").write_text("\n".join(text))
    first, second = recipe("lrs").find(str(tmp_path)).clips
    assert (first.stem, second.stem) == ("pretrain_00001_0000160", "pretrain_00001_0023950")
    assert (first.start_s, first.end_s) == (0.16, 23.95)
    assert (second.start_s, second.end_s) == (23.95, 29.74)
    words = recipe("lrs").annotate(second).words
    assert [round(word.start_s, 2) for word in words] == [0.25, 1.25, 2.25, 3.25, 4.25, 5.25]


@pytest.mark.parametrize(
    ("kind", "spoil", "reason", "detail"),
    [
        ("lrs", "trainval/0Fi83BHQsMA/00002.txt", "alignment_missing", "no 00002.txt"),
        ("lrw", "lipread_mp4/ABOUT/test/ABOUT_00001.txt", "", ""),
        ("tcd-timit", "volunteers/08F/Clips/straightcam/SA1.txt", "", ""),
        ("lombard-grid", "lombardgrid/alignment/s2_l_sbia2n.json", "", ""),
    ],
)
def test_a_missing_annotation_is_said(
    kind: str, spoil: str, reason: str, detail: str, miniatures: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / kind
    shutil.copytree(miniatures[kind], root)
    (root / spoil).unlink()
    flags, failures = annotated(kind, root)
    if reason:
        ((found, text),) = failures
        assert found == reason
        assert detail in text
    else:
        assert not failures
        assert {"no_word_times", "no_text"} & flags


@pytest.mark.parametrize(
    ("kind", "path", "text", "detail"),
    [
        ("lrs", "test/81Ub0SMxZQo/50001.txt", "SO WHAT", "does not begin with `Text:`"),
        (
            "lrs",
            "test/81Ub0SMxZQo/50001.txt",
            "Text:  SO\n\nWORD START END ASDSCORE\nSO x 0.4 1\n",
            "line 4 is not `WORD START END ASDSCORE`: 'SO x 0.4 1'",
        ),
        ("lrw", "lipread_mp4/ABOUT/test/ABOUT_00001.txt", "Duration: 9 seconds", "between 0 and"),
        ("lombard-grid", "lombardgrid/alignment/s2_l_sbia2n.json", "{", "is no list of phones"),
    ],
)
def test_a_garbled_annotation_is_one_line(
    kind: str, path: str, text: str, detail: str, miniatures: dict[str, Path], tmp_path: Path
) -> None:
    root = tmp_path / kind
    shutil.copytree(miniatures[kind], root)
    (root / path).write_text(text)
    _, ((reason, said),) = annotated(kind, root)
    assert reason == "alignment_garbled"
    assert detail in said


def test_lists_of_lrs2_say_what_is_absent_and_what_is_not_listed(
    tmp_path: Path, miniatures: dict[str, Path]
) -> None:
    root = tmp_path / "lrs2"
    video = miniatures["lrs"] / "test" / "81Ub0SMxZQo" / "50001.mp4"
    for name in ("6330311066473698535/00011", "6330311066473698535/00018"):
        target = root / "main" / f"{name}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)
        shutil.copy(video.with_suffix(".txt"), target.with_suffix(".txt"))
    (root / "val.txt").write_text("6330311066473698535/00011\n")
    (root / "test.txt").write_text("6330311066473698535/00022 NF\n")
    assert recipe_for(root).name == "lrs"
    found = recipe("lrs").find(str(root))
    assert [(clip.stem, clip.subset) for clip in found.clips] == [("main_00011", "val")]
    assert [(f.stem, f.reason) for f in found.failures] == [
        ("main_00018", "unlisted"),
        ("main_00022", "absent"),
    ]
