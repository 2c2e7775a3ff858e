"""Writes a listening test: sounds and trials for the listeners, the key for the experimenter."""

from __future__ import annotations

import dataclasses
import json
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import RunDir
from evaluation.mos.audio import identifier, write_sounds
from evaluation.mos.design import Design
from evaluation.mos.options import DesignOptions
from evaluation.mos.records import (
    DESIGN_FILE,
    HANDOUT,
    KEY_FILE,
    SOUNDS,
    Handout,
    Key,
    KeyTrial,
    Session,
    Trial,
    read_key,
    relative,
    write_record,
)
from manifests.errors import BadInput
from manifests.io import sha256_file
from manifests.versions import library_version


def write_design(design: Design, runs: Sequence[RunDir], out: Path) -> Key:
    """Writes handout and key into `out`; the key is written last and marks the test as complete.

    A test that `out` holds already keeps its secret if it was the same one, so that making it
    again changes nothing.

    Raises:
        BadInput: `out` holds another test or other files.
    """
    content = _content(design)
    secret = secrets.token_hex(16)
    if (out / KEY_FILE).exists():
        earlier = read_key(out / KEY_FILE)
        secret = earlier.secret
        if identifier(secret, content, 10) != earlier.design:
            raise BadInput(
                f"{out} holds another listening test", "choose another --out or delete that folder"
            )
    elif out.exists() and (not out.is_dir() or any(p.name != HANDOUT for p in out.iterdir())):
        raise BadInput(f"{out} exists and holds no listening test", "choose another --out")
    name = identifier(secret, content, 10)
    handout = out / HANDOUT
    out.mkdir(parents=True, exist_ok=True)
    for made in ("pages", "sheets"):
        shutil.rmtree(handout / made, ignore_errors=True)
    options = design.options
    sounds, notes = write_sounds(
        design.sources(), handout / SOUNDS, out, secret, options.level_dbov
    )
    trials, sessions = name_trials(design, secret)
    listed = Handout(
        name,
        options.title,
        options.consent,
        tuple(dict.fromkeys(trial.part for trial in trials)),
        options.max_plays,
        design.volume.name(secret),
        sessions,
    )
    write_record(handout / DESIGN_FILE, "listening-design", listed)
    folders = {run.info.name: relative(run.root, out) for run in runs}
    conditions = {
        part: [
            dataclasses.replace(c, run_dir=folders.get(c.name, "")).to_dict() for c in conditions
        ]
        for part, conditions in design.conditions.items()
    }
    key = Key(
        name,
        secret,
        _plain(options),
        conditions,
        trials,
        tuple(sounds),
        (*design.notes, *notes),
        {name: library_version(name) for name in ("facetron-toolkit", "numpy", "scipy")},
    )
    write_record(out / KEY_FILE, "listening-key", key)
    return key


def _content(design: Design) -> str:
    """Returns all that identifies a test: options, trials, and the content of the files."""
    files = {source.path for source in design.sources() if source.path}
    trials = [
        [subject, d.part, d.role, [[s.part, s.condition, s.clip, s.detail] for s in d.sounds]]
        for subject, drafts in design.sessions.items()
        for d in drafts
    ]
    hashes = sorted(sha256_file(path) for path in files)
    return json.dumps([_plain(design.options), trials, hashes], sort_keys=True)


def _plain(options: DesignOptions) -> dict[str, Any]:
    """Returns the options as JSON gives them back."""
    values = dataclasses.asdict(options)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def name_trials(design: Design, secret: str) -> tuple[tuple[KeyTrial, ...], tuple[Session, ...]]:
    """Returns (trials of the key, sessions of the handout): the same trials, identified and anonymous."""
    keyed: list[KeyTrial] = []
    sessions = []
    for subject, drafts in design.sessions.items():
        numbers: dict[str, int] = {}
        handed = []
        for draft in drafts:
            numbers[draft.part] = numbers.get(draft.part, 0) + 1
            draft.trial = identifier(secret, f"{subject}|{draft.part}|{numbers[draft.part]}", 12)
        numbers.clear()
        for draft in drafts:
            numbers[draft.part] = numbers.get(draft.part, 0) + 1
            names = tuple(sound.name(secret) for sound in draft.sounds)
            handed.append(Trial(draft.trial, draft.part, draft.role == "practice", names))
            keyed.append(
                KeyTrial(
                    draft.trial,
                    subject,
                    draft.part,
                    numbers[draft.part],
                    draft.role,
                    draft.condition,
                    draft.clip,
                    draft.expected,
                    draft.original.trial if draft.original else "",
                )
            )
        sessions.append(Session(subject, tuple(handed)))
    return tuple(keyed), tuple(sessions)
