"""Demo page, as of the paper: recordings beside the speech that systems synthesized from silent video.

The page is a self-contained folder that works from a disk as well as from a server:

    demo/
      index.html
      media/   one video per sound, its poster, and the mels
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from facetron.demo import video
from facetron.demo.clips import SECTIONS, Builds, Run, Shown, choose, read_runs
from facetron.demo.markup import MEDIA, Card, Side, duration_s, label_of, read_lines, times, whose
from facetron.train.mel_picture import Mel, Picture, color_range, mel_picture
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.html import render
from manifests.io import atomic_path, write_text
from manifests.mel import DEFAULT, mel_spectrogram
from manifests.pictures import Pictures, read_pictures

INDEX = "index.html"
MARK = 'content="facetron page"'
LEAD = (
    "Each card shows one clip. The first video has the recording, the others the speech that a system "
    "synthesized without it. The pictures below are log mels of the sounds, 0 to 8 kHz from bottom "
    "to top, on one color scale per clip, above the words at their times."
)
MADE_OF = {
    "model": "synthesized without the recording",
    "resynthesis": "mel of the recording through a vocoder: the upper bound of systems that predict mels",
    "control": "control: synthesized from the lips of another clip",
    "recording": "recording",
}
SECTION_NOTES = {
    "small": "Speakers and systems of the split “small”: four speakers, trained on other sentences of "
    "theirs.",
    "seen": "The systems were trained on other clips of these speakers.",
    "unseen": "The systems were trained on nothing of these speakers: neither lips, nor face, nor voice.",
    "swapped": "The lips of one speaker with the face of another: the words should follow the lips, "
    "the voice should follow the face. The recording is that of the lips' speaker.",
    "speakers": "",
}


@dataclass(frozen=True)
class DemoPageOptions:
    """Options of a demo page.

    Attributes:
        runs: run directories; those that hold the same clip share its card.
        clips_each: clips per speaker in each section.
        manifest, corpus: see `facetron.demo.clips.Builds`.
        notes: paragraphs under the introduction.
    """

    runs: tuple[Path, ...]
    out: Path
    clips_each: int = 2
    seed: int = 0
    title: str = "Speech from silent video"
    manifest: Path | None = None
    corpus: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DemoPageReport:
    """Numbers of clips on a page, by section and by kind of picture."""

    page: Path
    sections: dict[str, int]
    filmed: int
    lips: int
    sound_only: int


def write_page(options: DemoPageOptions) -> DemoPageReport:
    """Writes the folder `options.out`; an earlier page in it is replaced.

    Raises:
        BadInput: a run, a sound or a picture that cannot be used, or a folder that holds something
            else than a page.
    """
    runs = read_runs(options.runs)
    shown = choose(runs, Builds(options.manifest, options.corpus), options.clips_each, options.seed)
    media = _prepared(options.out)
    cards, kept = [], set()
    counts = {"filmed": 0, "lips": 0, "sound_only": 0}
    with Progress(len(shown), "page") as progress:
        for number, item in enumerate(shown, 1):
            card, files, picture = _card(item, f"{number:03d}", media)
            cards.append(card)
            kept |= files
            counts[picture] += 1
            progress.update(1)
    write_text(options.out / INDEX, _page(options, runs, shown, cards))
    for path in media.iterdir():  # of the page that was here before
        if path.name not in kept:
            path.unlink()
    sections = {key: sum(s.section == key for s in shown) for key in SECTIONS}
    return DemoPageReport(options.out / INDEX, {k: n for k, n in sections.items() if n}, **counts)


def _prepared(out: Path) -> Path:
    """Returns the empty folder of media. Raises `BadInput` where `out` holds anything but a page."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        index, media = out / INDEX, out / MEDIA
        unfinished = out.is_dir() and [p.name for p in out.iterdir()] == [MEDIA]
        ours = index.is_file() and MARK in index.read_text(encoding="utf-8", errors="replace")
        if not (ours or unfinished) or (media.exists() and not media.is_dir()):
            raise BadInput(f"{out} exists and is not a demo page", "choose another --out")
    (out / MEDIA).mkdir(parents=True, exist_ok=True)
    return out / MEDIA


# --- one clip


def _card(item: Shown, number: str, media: Path) -> tuple[Card, set[str], str]:
    """(the card, names of its files in `media`, which pictures it has)."""
    name = re.sub(r"[^A-Za-z0-9-]", "_", f"{number}-{item.clip.speaker}-{item.clip.stem}")
    pictures, kind = _pictures(item)
    sides = _sides(item, name, "m4a" if pictures is None else "mp4")
    files: set[str] = set()
    poster = ""
    if pictures is not None:
        poster = f"{name}.jpg"
        _write_picture(media / poster, pictures[len(pictures) // 2])
        files.add(poster)
    scale: tuple[float, float] | None = None
    film = None if pictures is None else video.encoded(pictures)
    for side in sides:
        video.write_mp4(media / side.file, film, side.sound, side.rate_hz)
        mel = _mel(side, item)
        scale = scale or color_range(mel)
        _write_picture(media / side.mel, mel_picture(mel, scale))
        files |= {side.file, side.mel}
    face = _voice_still(item)
    still = ""
    if face is not None:
        _write_picture(media / f"{name}-face.jpg", face)
        files.add(f"{name}-face.jpg")
        still = f"{name}-face.jpg"
    told, tags = whose(item)
    card = Card(
        whose=told,
        tags=tags,
        stem=item.clip.stem,
        voice=item.clip.voice,
        still=still,
        said=item.clip.sentence,
        read=read_lines(item),
        sides=tuple(sides),
        poster=poster,
        width=0 if pictures is None else pictures.shape[2],
        height=0 if pictures is None else pictures.shape[1],
        times=times(item),
    )
    return card, files, kind


def _pictures(item: Shown) -> tuple[Pictures | None, str]:
    row, build = item.row, item.build
    if row is None or build is None:
        return None, "sound_only"
    filmed = video.source_pictures(row, build.corpus)
    if filmed is not None:
        return filmed, "filmed"
    lips = video.lip_pictures(row, build.root)
    return lips, "sound_only" if lips is None else "lips"


def _sides(item: Shown, name: str, suffix: str) -> list[Side]:
    sides = []
    recording = item.recording
    if recording is not None:
        sound, rate_hz = video.read_sound(recording)
        file, mel = f"{name}-recording.{suffix}", f"{name}-recording.png"
        sides.append(Side("Recording", sound, rate_hz, file, mel, label_of("Recording", item)))
    for i, (run, clip) in enumerate(item.made, 1):
        sound, rate_hz = video.read_sound(run.root / clip.wav)
        file, mel = f"{name}-{i}.{suffix}", f"{name}-{i}.png"
        label = label_of(run.info.name, item)
        sides.append(Side(run.info.name, sound, rate_hz, file, mel, label))
    return sides


def _mel(side: Side, item: Shown) -> Mel:
    """Log-mel (80, T) of a sound, as long as the clip so that its words stand under it."""
    sound, rate_hz = side.sound, DEFAULT.sample_rate_hz
    if side.rate_hz != rate_hz:
        import soxr

        sound = soxr.resample(sound, side.rate_hz, rate_hz, quality="HQ")
    length = round(duration_s(item) * rate_hz) if item.row else max(len(sound), DEFAULT.n_fft)
    mel: Mel = mel_spectrogram(np.pad(sound[:length], (0, max(0, length - len(sound)))))
    return mel


def _voice_still(item: Shown) -> Picture | None:
    """Returns the face still that gave the voice of a swap."""
    if not item.swapped or item.build is None:
        return None
    path = item.build.still_of(item.clip.voice)
    if path is None:
        return None
    stills = read_pictures(path)
    return np.asarray(stills[len(stills) // 2], np.uint8)


def _write_picture(path: Path, picture: Picture) -> None:
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, 85] if path.suffix == ".jpg" else []
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _page(
    options: DemoPageOptions, runs: Sequence[Run], shown: Sequence[Shown], cards: Sequence[Card]
) -> str:
    sections = []
    pairs = list(zip(shown, cards, strict=True))
    for key, group in groupby(pairs, key=lambda pair: pair[0].section):
        members = [card for _, card in group]
        sections.append(
            {
                "key": key,
                "title": SECTIONS[key],
                "note": SECTION_NOTES[key],
                "columns": max(len(card.sides) for card in members),
                "cards": members,
            }
        )
    return render(
        "facetron.demo",
        "page.html",
        title=options.title,
        lead=LEAD,
        media=MEDIA,
        notes=options.notes,
        sections=sections,
        systems=[
            (name, MADE_OF.get(kind, kind))
            for name, kind in dict.fromkeys((run.info.name, run.info.kind) for run in runs)
        ],
        small_print=(
            f"Up to {options.clips_each} clips of each speaker, drawn at random with seed "
            f"{options.seed}, not chosen by ear. Levels are unchanged."
        ),
    )
