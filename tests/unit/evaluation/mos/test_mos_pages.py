"""Pages and sheets: whole, self-contained, and deaf to what a text might try."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import html.parser
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluation.mos.pages import (
    SHEET_COLUMNS,
    Sounds,
    large,
    minutes,
    page,
    script_json,
    sheet_rows,
    write_pages,
)
from evaluation.mos.records import Handout, Session, Trial
from evaluation.mos.scales import ALL_SCALES, HEADPHONES, SCALES
from manifests.errors import BadInput
from manifests.tables import write_csv

RATE_HZ = 16_000
HOSTILE = "=1+1 </script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 '\"&${title}"


class Page(html.parser.HTMLParser):
    """Tags, attributes and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: dict[str, str] = {}
        self.text: dict[str, list[str]] = {}
        self.policy = ""
        self._open = ""
        self._id = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open = tag
        given = dict(attrs)
        self._id = given.get("id") or ""
        assert not [name for name in given if name.startswith("on")]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._open = self._id = ""

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self._open, []).append(data)
        if self._id:
            self.ids[self._id] = data


@pytest.fixture
def handout(tmp_path: Path) -> tuple[Path, Handout]:
    folder = tmp_path / "handout"
    (folder / "sounds").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "abcv":
        sound = 0.1 * rng.standard_normal(RATE_HZ // 4)
        soundfile.write(folder / "sounds" / f"{name}.wav", sound, RATE_HZ)
    trials = (
        Trial("t0", "headphones", False, ("a.wav",)),
        Trial("t1", "mos", True, ("a.wav",)),
        Trial("t2", "mos", False, ("b.wav",)),
        Trial("t3", "smos_speaker", False, ("c.wav", "b.wav")),
    )
    parts = ("headphones", "mos", "smos_speaker")
    consent = "One.\n\nTwo\nlines."
    sessions = (Session("S01", trials), Session("S02", trials[:3]))
    return folder, Handout("0123456789", "Test", consent, parts, 2, "v.wav", sessions)


def made(handout: tuple[Path, Handout], **changes: Any) -> tuple[str, Page]:
    folder, design = handout
    changed = dataclasses.replace(design, **changes)
    text = page(changed, changed.sessions[0], Sounds(folder / "sounds", "wav"))
    return text, Page(text)


def test_page_needs_nothing_else(handout: tuple[Path, Handout]) -> None:
    text, found = made(handout)
    assert not found.addresses
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}, "a name"
    assert "connect-src" not in found.policy
    assert found.policy.startswith("default-src 'none'; media-src blob:;")
    for kind, tag in (("style", "style"), ("script", "script")):
        content = found.text[tag][-1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in found.policy


def test_page_holds_its_trials_and_sounds(handout: tuple[Path, Handout]) -> None:
    _, found = made(handout)
    data = json.loads(found.ids["data"])
    assert (data["design"], data["subject"], data["maxPlays"]) == ("0123456789", "S01", 2)
    assert data["consent"] == ["One.", "Two lines."]
    assert data["headphones"] is True
    assert [len(trial["sounds"]) for trial in data["trials"]] == [1, 1, 1, 2]
    assert data["trials"][2]["sounds"][0] == data["trials"][3]["sounds"][1], "each sound once"
    assert list(data["parts"]) == ["headphones", "mos", "smos_speaker"]
    content = base64.b64decode(found.ids[data["trials"][3]["sounds"][0]])
    assert content == (handout[0] / "sounds" / "c.wav").read_bytes()


def test_flac_is_the_same_sound_and_smaller(handout: tuple[Path, Handout]) -> None:
    folder = handout[0] / "sounds"
    content = base64.b64decode(Sounds(folder, "flac").base64("a.wav"))
    there, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
    here, _ = soundfile.read(folder / "a.wav", dtype="int16")
    assert rate_hz == RATE_HZ
    assert np.array_equal(here, there)
    assert len(content) < (folder / "a.wav").stat().st_size


def test_hostile_texts_stay_texts(handout: tuple[Path, Handout]) -> None:
    plain = Page(made(handout)[0]).tags
    text, found = made(handout, title=HOSTILE, consent=HOSTILE)
    assert found.tags == plain
    assert json.loads(found.ids["data"])["title"] == HOSTILE
    assert "<img" not in text
    assert text.count("${title}") == text.count("title}") == 4, "the template does not read it"


def test_json_cannot_leave_its_element() -> None:
    text = script_json({"a": "</script><!--<script>&\u2028é"})
    assert not set(text) & set("<>&\u2028é")
    assert json.loads(text) == {"a": "</script><!--<script>&\u2028é"}


def test_sheets_cannot_calculate(handout: tuple[Path, Handout], tmp_path: Path) -> None:
    _, design = handout
    trials = (Trial("=t", "mos", False, ("+a.wav",)),)
    rows = sheet_rows(dataclasses.replace(design, design="@d"), Session("-S", trials))
    write_csv(tmp_path / "sheet.csv", SHEET_COLUMNS, rows)
    with open(tmp_path / "sheet.csv", encoding="utf-8", newline="") as file:
        cells = list(csv.reader(file))[1]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert {"'=t", "'+a.wav", "'@d", "'-S"} <= set(cells)


def test_files(handout: tuple[Path, Handout]) -> None:
    folder, design = handout
    paths = write_pages(folder, design)
    assert [str(path.relative_to(folder)) for path in paths] == [
        "pages/S01.html", "sheets/S01.csv", "pages/S02.html", "sheets/S02.csv",
    ]  # fmt: skip
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_pages(folder, design)] == before
    rows = list(csv.DictReader(paths[1].read_text(encoding="utf-8").splitlines()))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["practice"] for row in rows] == ["", "yes", "", ""]
    assert rows[3]["sound_b"] == "b.wav"
    assert rows[1]["answers"].startswith("1 Bad; 2 Poor")
    assert {row["rating"] for row in rows} == {""}
    assert large(paths) == ""


def test_missing_sound_and_unknown_part(handout: tuple[Path, Handout]) -> None:
    folder, design = handout
    (folder / "sounds" / "c.wav").unlink()
    with pytest.raises(BadInput, match=r"c\.wav is missing; write the test again"):
        write_pages(folder, design)
    with pytest.raises(BadInput, match="unknown parts karaoke"):
        write_pages(folder, dataclasses.replace(design, parts=("karaoke",)))
    outside = dataclasses.replace(design, volume_sound="../../secret.wav")
    with pytest.raises(BadInput, match="missing"):
        write_pages(folder, outside)


def test_duration_is_estimated(handout: tuple[Path, Handout]) -> None:
    folder, design = handout
    sounds = Sounds(folder / "sounds", "wav")
    # 5 sounds of 0.25 s, 4 answers of 4 s, 9 screens of 20 s.
    assert minutes(design.sessions[0], sounds) == 4
    assert minutes(Session("S", design.sessions[0].trials[2:3] * 100), sounds) == 9


def test_scales_are_complete() -> None:
    for key, scale in ALL_SCALES.items():
        assert key == scale.key
        assert all([scale.label, scale.title, scale.question, scale.definition, *scale.advice])
        assert len(scale.answers) == (3 if scale is HEADPHONES else 5)
    assert list(SCALES) == ["mos", "smos_speaker", "smos_gender"]
