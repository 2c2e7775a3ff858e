"""Folders and lists of videos: what is found in them, and what every bad row is called."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gridprep.corpora.base import Corpus
from gridprep.corpora.folder import FOLDER
from gridprep.corpora.registry import recipe_for
from manifests.errors import BadInput


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")


def ids(corpus: Corpus) -> list[str]:
    return [clip.clip_id for clip in corpus.clips]


def test_a_plain_folder_has_speakers_by_its_first_folders(tmp_path: Path) -> None:
    root = tmp_path / "my videos"
    touch(root, "anna/hello.mp4", "anna/day 2/hello.MOV", "bob/x.webm", "alone.mkv", "notes.txt")
    touch(root, "anna/._hello.mp4", "__MACOSX/anna/hello.mp4", ".hidden/x.mp4", "bob/Thumbs.db")
    found = recipe_for(root).find(str(root))
    assert ids(found) == ["anna/day_2__hello", "anna/hello", "bob/x", "my_videos/alone"]
    assert not found.failures
    assert found.junk_files == 3


def test_names_of_any_script_become_names_of_files(tmp_path: Path) -> None:
    touch(tmp_path, "Jörg/Übung eins.mp4", "花子/こんにちは.mp4", "a:b/c?d*.mp4")
    assert ids(FOLDER.find(str(tmp_path))) == ["Jörg/Übung_eins", "a_b/c_d", "花子/こんにちは"]


def test_a_list_gives_speakers_texts_and_parts(tmp_path: Path) -> None:
    touch(tmp_path, "long.mp4", "anna/hello.mp4", "left_out.mp4")
    (tmp_path / "clips.csv").write_text(
        "video;speaker;text;start_s;end_s;gender;subset\n"
        "long.mp4;Anna Ö.;Hi, it's 2!;0;2,5;F;train\n"
        "long.mp4;Anna Ö.;;2.5;4;f;dev\n"
        "anna/hello.mp4;;;;;;test\n",
        encoding="utf-8",
    )
    found = recipe_for(tmp_path).find(str(tmp_path))
    assert ids(found) == ["Anna_Ö/long_0000000", "Anna_Ö/long_0002500", "anna/hello"]
    first, second, hello = found.clips
    assert (first.start_s, first.end_s, first.gender, first.subset) == (0.0, 2.5, "female", "train")
    assert (second.is_part, second.subset, hello.is_part, hello.subset) == (
        True,
        "val",
        False,
        "test",
    )
    said = FOLDER.annotate(first)
    assert (said.sentence, said.transcript, said.words) == ("hi it's two", "Hi, it's 2!", ())
    assert found.unlisted == ("left_out.mp4",)
    given = recipe_for(tmp_path / "clips.csv").find(str(tmp_path / "clips.csv"))
    assert list(given.clips) == list(found.clips)
    assert given.unlisted == ()


def test_jsonl_and_the_columns_of_hugging_face_are_read(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.mp4")
    row = {"file_name": "a/x.mp4", "transcription": "ДА", "gender": None}
    (tmp_path / "metadata.jsonl").write_text(f"\n{json.dumps(row)}\n", encoding="utf-8")
    (clip,) = recipe_for(tmp_path).find(str(tmp_path)).clips
    said = FOLDER.annotate(clip)
    assert (said.sentence, said.transcript, said.flags) == ("", "ДА", ("text_in_other_script",))


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ("gone.mp4,,,,", "absent", "clips.csv, line 2: gone.mp4 does not exist"),
        ("x.mp4,x,,,", "bad_row", "clips.csv, line 2: start_s 'x' is no time in seconds"),
        ("x.mp4,1,,,", "bad_row", "clips.csv, line 2: start_s is given without end_s"),
        ("x.mp4,2,1,,", "bad_row", "clips.csv, line 2: end_s 1 is not after start_s 2"),
        ("x.mp4,,nan,,", "bad_row", "clips.csv, line 2: end_s 'nan' is no time in seconds"),
        ("x.mp4,,,d,", "bad_row", "clips.csv, line 2: gender 'd' is neither male nor female nor"),
        ("x.mp4,,,,all", "bad_row", "clips.csv, line 2: subset 'all' is none of train, val, test"),
        (",1,2,,", "bad_row", "clips.csv, line 2: the cell video is empty"),
        ("pipe.mp4,,,,", "not_a_file", "clips.csv, line 2: pipe.mp4 is a named pipe"),
    ],
)
def test_a_bad_row_is_a_failure_with_its_line(
    tmp_path: Path, row: str, reason: str, detail: str
) -> None:
    touch(tmp_path, "x.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "clips.csv").write_text(
        f"video,start_s,end_s,gender,subset\n{row}\nx.mp4,,,,\n", encoding="utf-8"
    )
    found = FOLDER.find(str(tmp_path))
    assert [clip.stem for clip in found.clips] == ["x"]
    (failure,) = found.failures
    assert (failure.stage, failure.reason) == ("find", reason)
    assert failure.detail.startswith(detail)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "path,text\nx,y\n",
            "a.csv has no column video .its first line reads path, text.",
        ),
        ("a.csv", "video,text\nx.mp4,a,b\n", "a.csv, line 2 has 3 cells, the first line 2"),
        ("a.csv", "video\n", "a.csv lists no video"),
        ("a.csv", "", "a.csv is empty; its columns may be video, file_name, speaker,"),
        ("a.jsonl", '{"video": "x.mp4"}\n{"video":\n', "a.jsonl, line 2 is no JSON object"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1 is no JSON object .not an object."),
        ("a.mp4", "", "a.mp4 is neither a folder nor a list of videos"),
    ],
)
def test_a_list_that_is_none_is_one_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    touch(tmp_path, "x.mp4")
    with pytest.raises(BadInput, match=message):
        FOLDER.find(str(tmp_path / name))


def test_two_clips_of_one_name_are_one_clip_and_a_failure(tmp_path: Path) -> None:
    touch(tmp_path, "anna/x.mp4", "anna/x.mov")
    found = FOLDER.find(str(tmp_path))
    assert ids(found) == ["anna/x"]
    (failure,) = found.failures
    assert failure.reason == "same_name"
    assert failure.detail == "anna/x.mp4: anna/x.mov is anna/x too; rename one of them"


def test_a_clip_that_is_listed_twice_is_told_by_its_lines(tmp_path: Path) -> None:
    touch(tmp_path, "x.mp4", "x.mov")
    (tmp_path / "clips.csv").write_text("video,speaker\nx.mp4,a\nx.mp4,b\nx.mp4,a\nx.mov,a\n")
    found = FOLDER.find(str(tmp_path))
    assert [(clip.clip_id, Path(clip.video).name) for clip in found.clips] == [
        ("a/x", "x.mp4"),
        ("b/x", "x.mp4"),
    ]
    assert [(failure.reason, failure.detail) for failure in found.failures] == [
        (
            "same_name",
            f"clips.csv, line {line}: {video} is a/x, as line 2 is: leave one of them out, or name "
            "another speaker or start_s",
        )
        for line, video in ((4, "x.mp4"), (5, "x.mov"))
    ]


def test_ten_thousand_files_in_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "anna"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}.mp4").touch()
    found = recipe_for(tmp_path).find(str(tmp_path))
    assert len(found.clips) == 10_000
    assert [clip.stem for clip in found.clips[:3]] == ["0", "1", "2"]
    assert found.clips[-1].stem == "9999"


def test_a_folder_of_sentences_of_grid_is_grid_and_with_a_list_it_is_asked(tmp_path: Path) -> None:
    touch(tmp_path, "s1/bbaf2n.mpg")
    assert recipe_for(tmp_path).name == "grid"
    (tmp_path / "synth.json").write_text("{}")
    assert recipe_for(tmp_path).name == "synthgrid"
    (tmp_path / "clips.csv").write_text("video\ns1/bbaf2n.mpg\n")
    with pytest.raises(BadInput, match="may be synthgrid or folder; say which: --corpus-kind"):
        recipe_for(tmp_path)
    assert recipe_for(tmp_path, "folder").name == "folder"
    with pytest.raises(BadInput, match="there is no corpus kind 'lrs9'"):
        recipe_for(tmp_path, "lrs9")


def test_speakers_are_chosen_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "anna/x.mp4", "Bob 2/x.mp4")
    found = FOLDER.find(str(tmp_path))
    assert FOLDER.parse_speakers("anna, Bob_2", found) == {"anna", "Bob_2"}
    with pytest.raises(BadInput, match="has no speaker eve; it has Bob_2, anna"):
        FOLDER.parse_speakers("eve", found)
