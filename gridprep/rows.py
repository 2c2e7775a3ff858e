"""From a clip's state to its manifest row, or to the failure that explains why there is none."""

from __future__ import annotations

import os

from gridprep.grammar import sentence_of
from gridprep.stages import UPSTREAM, Recipe
from gridprep.state import ClipState
from manifests.corpus_lists import gender_of
from manifests.io import check_row
from manifests.records import Clip, ClipFailure, ManifestRow, WordSpan
from manifests.specs import CLIP_FRAMES, CLIP_SECONDS


def row_or_failure(
    clip: Clip, state: ClipState, subset: str, recipe: Recipe, corpus_root: str
) -> ManifestRow | ClipFailure:
    """The manifest row of a finished clip. Breaking the physics is a failure, not a warning."""
    if state.failure is not None:
        return state.failure
    missing = [stage for stage in UPSTREAM if stage not in state.stages]
    if missing or state.source is None:
        return ClipFailure(
            clip.speaker,
            clip.stem,
            "manifest",
            "not_built",
            f"not done yet: {', '.join(missing) or 'all stages'}",
            clip.video,
        )
    stages = state.stages
    files = {name: path for s in stages.values() for name, (path, _) in s.files.items()}
    qc: dict[str, object] = {}
    flags = list(clip.repairs)
    for stage in stages.values():
        qc |= stage.data.get("qc", {})
        flags += stage.data.get("flags", [])
    row = ManifestRow(
        speaker=clip.speaker,
        gender=gender_of(clip.speaker),
        stem=clip.stem,
        sentence=sentence_of(clip.stem),
        subset=subset,
        words=tuple(WordSpan.from_dict(w) for w in stages["alignment"].data["words"]),
        paths={name: path for name, path in files.items() if not name.startswith("mel:")},
        video_frames=CLIP_FRAMES,
        audio_samples=stages["audio"].data["samples"],
        sample_rate_hz=recipe.audio.sample_rate_hz,
        mel_frames=stages["mels"].data["mel_frames"],
        samples_added=stages["audio"].data["samples_added"],
        flags=tuple(flags),
        qc=qc,
        source_path=os.path.relpath(clip.video, corpus_root),
        source_sha256=state.source.sha256,
        fingerprints={
            "audio": recipe.audio.fingerprint(),
            "mel": recipe.mel.fingerprint(),
            "crop": recipe.crop.fingerprint(),
            "landmarks": recipe.landmarks.fingerprint(),
            "prosody": recipe.prosody.fingerprint(),
        },
        extra_mels={
            name.removeprefix("mel:"): path
            for name, path in files.items()
            if name.startswith("mel:")
        },
    )
    expected_mel_frames = recipe.mel.frames(round(CLIP_SECONDS * recipe.mel.sample_rate_hz))
    complaints = check_row(row, expected_mel_frames)
    if complaints:
        return ClipFailure(
            clip.speaker, clip.stem, "manifest", "physics", "; ".join(complaints), clip.video
        )
    return row
