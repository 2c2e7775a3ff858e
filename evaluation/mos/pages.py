"""Pages and sheets for listeners: one self-contained HTML file or one printable sheet each.

A page holds its sounds as base64 and its trials as JSON. Its Content-Security-Policy names the
hashes of the one script and the one style, so that no text could run even if it got past the
escaping; nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from evaluation.mos.records import SOUNDS, Handout, Session
from evaluation.mos.scales import ALL_SCALES, HEADPHONES
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.html import render
from manifests.io import write_text
from manifests.tables import write_csv

Encoding = Literal["flac", "wav"]
TYPES: dict[str, str] = {"flac": "audio/flac", "wav": "audio/wav"}
PAGES, SHEETS = "pages", "sheets"
BREAK_EVERY = 40
"""Trials of a part before a break is offered."""
ANSWER_S, SCREEN_S = 4.0, 20.0
"""Time for an answer and for a screen of text, for the estimate of the duration."""
LARGE_PAGE_MB = 25.0
SHEET_COLUMNS = (
    "design", "subject", "number", "part", "practice", "trial", "sound_a", "sound_b", "question",
    "answers", "rating",
)  # fmt: skip


class Sounds:
    """The handout's files: encoded for pages, each once, and their durations."""

    def __init__(self, folder: Path, encoding: Encoding) -> None:
        self.folder, self.encoding = folder, encoding
        self._texts: dict[str, str] = {}
        self._durations: dict[str, float] = {}

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if Path(name).name != name or not path.is_file():
            raise BadInput(f"{path} is missing", "write the test again with `mos design`")
        return path

    def base64(self, name: str) -> str:
        if name not in self._texts:
            content = self._path(name).read_bytes()
            if self.encoding == "flac":
                import soundfile

                samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
                buffer = io.BytesIO()
                soundfile.write(buffer, samples, rate_hz, format="FLAC", subtype="PCM_16")
                content = buffer.getvalue()
            self._texts[name] = base64.b64encode(content).decode()
        return self._texts[name]

    def duration_s(self, name: str) -> float:
        if name not in self._durations:
            import soundfile

            self._durations[name] = float(soundfile.info(self._path(name)).duration)
        return self._durations[name]


def minutes(session: Session, sounds: Sounds) -> int:
    """Returns the duration of a session in minutes, rounded up."""
    listening_s = sum(sounds.duration_s(name) for t in session.trials for name in t.sounds)
    screens = 3 + 2 * len({trial.part for trial in session.trials})
    total_s = listening_s + ANSWER_S * len(session.trials) + SCREEN_S * screens
    return int(-(-total_s // 60))


def page(handout: Handout, session: Session, sounds: Sounds) -> str:
    """Returns the HTML page of one subject."""
    ids: dict[str, str] = {}

    def sound_id(name: str) -> str:
        return ids.setdefault(name, f"a{len(ids)}")

    data = {
        "design": handout.design,
        "subject": session.subject,
        "title": handout.title,
        "consent": [
            " ".join(p.split()) for p in re.split(r"\n\s*\n", handout.consent) if p.strip()
        ],
        "headphones": HEADPHONES.key in handout.parts,
        "minutes": minutes(session, sounds),
        "breakEvery": BREAK_EVERY,
        "maxPlays": handout.max_plays,
        "soundType": TYPES[sounds.encoding],
        "volume": sound_id(handout.volume_sound),
        "parts": {part: _words(part) for part in handout.parts},
        "trials": [
            {
                "id": trial.trial,
                "part": trial.part,
                "practice": trial.practice,
                "sounds": [sound_id(name) for name in trial.sounds],
            }
            for trial in session.trials
        ],
    }
    folder = resources.files("evaluation.mos")
    style, script = ((folder / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return render(
        "evaluation.mos",
        "page.html",
        title=handout.title,
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        data=script_json(data),
        sounds=[(key, sounds.base64(name)) for name, key in ids.items()],
    )


def _words(part: str) -> dict[str, Any]:
    scale = ALL_SCALES[part]
    return {
        "key": scale.key,
        "title": scale.title,
        "question": scale.question,
        "advice": scale.advice,
        "answers": scale.answers,
    }


def script_json(value: Any) -> str:
    """JSON that may stand inside a `script` element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def sheet_rows(handout: Handout, session: Session) -> list[list[object]]:
    """Returns one line per trial, the last cell to be filled in by hand."""
    rows: list[list[object]] = []
    for number, trial in enumerate(session.trials, 1):
        scale = ALL_SCALES[trial.part]
        answers = "; ".join(f"{i} {text}" for i, text in enumerate(scale.answers, 1))
        second = trial.sounds[1] if len(trial.sounds) > 1 else ""
        rows.append([
            handout.design, session.subject, number, scale.title, "yes" if trial.practice else "",
            trial.trial, trial.sounds[0], second, scale.question, answers, "",
        ])  # fmt: skip
    return rows


def write_pages(folder: Path, handout: Handout, encoding: Encoding = "flac") -> list[Path]:
    """Writes `pages/SUBJECT.html` and `sheets/SUBJECT.csv` into the handout; returns their paths.

    Raises:
        BadInput: a sound is missing, or a part is unknown.
    """
    unknown = [part for part in handout.parts if part not in ALL_SCALES]
    if unknown:
        raise BadInput(f"{folder} holds unknown parts {', '.join(unknown)}", "update the toolkit")
    sounds = Sounds(folder / SOUNDS, encoding)
    paths: list[Path] = []
    with Progress(len(handout.sessions), "pages", "page") as progress:
        for session in handout.sessions:
            path = folder / PAGES / f"{session.subject}.html"
            write_text(path, page(handout, session, sounds))
            sheet = folder / SHEETS / f"{session.subject}.csv"
            write_csv(sheet, SHEET_COLUMNS, sheet_rows(handout, session))
            paths += [path, sheet]
            progress.update()
    return paths


def large(paths: Sequence[Path]) -> str:
    """Returns a warning on pages that are too large to send, or ""."""
    largest = max((p.stat().st_size for p in paths if p.suffix == ".html"), default=0) / 1e6
    if largest <= LARGE_PAGE_MB:
        return ""
    return (
        f"the largest page has {largest:.0f} MB, too much for most mail: hand it out as a link or "
        "lower --per-subject"
    )
