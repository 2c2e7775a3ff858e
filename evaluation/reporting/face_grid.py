"""The grid of a page on pictures: speech, the pictures made of it, and the truth, a row for each clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from evaluation.inputs.pairs import Recording, RunDir, Unscorable
from evaluation.inputs.pictures import (
    gallery_of,
    load_picture,
    mean_face,
    middle_still,
    recording_of,
    resized,
)
from evaluation.models.face import Picture
from evaluation.reporting import figures
from evaluation.scoring.run import ScoredRun
from manifests.html import data_uri
from manifests.ordering import natural
from manifests.records import RunClip

ROWS = 12
"""Clips that are shown, at most."""
SHOWN_PX = 128


def chosen_clips(run: RunDir, most: int = ROWS) -> list[RunClip]:
    """Clips of as many speakers as there is room for, one picture of each clip, in the speakers' order."""
    by_speaker: dict[str, list[RunClip]] = {}
    for clip in sorted(run.clips, key=lambda c: (natural(c.speaker), c.stem, c.variant)):
        known = by_speaker.setdefault(clip.speaker, [])
        if clip.clip_id not in (c.clip_id for c in known):
            known.append(clip)
    rounds = max(map(len, by_speaker.values()), default=0)
    found = [clips[i] for i in range(rounds) for clips in by_speaker.values() if i < len(clips)]
    if len(by_speaker) > most:  # evenly over the speakers, not the first of them
        kept = np.linspace(0, len(by_speaker) - 1, most).round().astype(int)
        found = [found[i] for i in kept]
    return sorted(found[:most], key=lambda c: (natural(c.speaker), c.stem))


def picture_uri(picture: Picture) -> str:
    """A picture for a page."""
    shown = resized(picture, SHOWN_PX)
    return data_uri("image/png", cv2.imencode(".png", shown[..., ::-1])[1].tobytes())


def face_grid(scored: Sequence[ScoredRun]) -> dict[str, Any] | None:
    """Returns what the page prints: heads, and rows of sounds and pictures; None for runs of speech."""
    if not scored or not scored[0].run.of_faces:
        return None
    first = scored[0].run
    rows = []
    for clip in chosen_clips(first):
        cells = [_cell(item.run, clip) for item in scored]
        rows.append(
            {
                "label": clip.clip_id,
                "gender": clip.gender,
                "sentence": clip.sentence,
                "sound": _sound(first, clip),
                "cells": cells,
                "truth": _truth(first, clip),
            }
        )
    try:
        nobody = picture_uri(mean_face(gallery_of(first)).picture)
    except Unscorable:
        nobody = ""
    return {"heads": [item.run.info.name for item in scored], "rows": rows, "mean_face": nobody}


def _cell(run: RunDir, clip: RunClip) -> list[dict[str, str]]:
    """All the pictures that a run has of a clip."""
    mine = sorted((c for c in run.clips if c.clip_id == clip.clip_id), key=lambda c: c.variant)
    found = []
    for one in mine:
        told = one.variant
        if one.source and one.source != one.clip_id:
            told = " ".join(filter(None, (told, f"from {one.source}")))
        try:
            found.append({"uri": picture_uri(load_picture(run.made(one))), "told": told})
        except Unscorable as failure:
            found.append({"uri": "", "told": str(failure)})
    return found or [{"uri": "", "told": "missing"}]


def _sound(run: RunDir, clip: RunClip) -> str:
    try:
        return figures.sound_uri(Recording(recording_of(run, clip)).samples)
    except Unscorable:
        return ""


def _truth(run: RunDir, clip: RunClip) -> dict[str, str]:
    path = run.reference(clip)
    if path is None:
        return {"uri": "", "told": "no real stills"}
    try:
        return {"uri": picture_uri(middle_still(path)), "told": ""}
    except Unscorable as failure:
        return {"uri": "", "told": str(failure)}
