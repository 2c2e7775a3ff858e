"""Lhotse manifests: recordings, supervisions with word alignments, and cuts.

    NAME_recordings_train.jsonl.gz  NAME_supervisions_train.jsonl.gz  NAME_cuts_train.jsonl.gz
    audio/s1/bbaf2n.wav  lips/s1/bbaf2n.avi

The recordings are the WAVs. Those inside the cuts have a second source, the lip crops as their video,
which has no channel: `cut.load_audio()` and `cut.load_video()` read either. (`Recording.load_audio` would
look for sound in the video of a recording of its own, so that set has none.)
Times are seconds (lhotse's own GRID recipe takes GRID's units of 1/25000 s for milliseconds:
lhotse/recipes/grid.py of 1.33, `float(b) / 1000`). Read with `lhotse.load_manifest`; after a move,
`RecordingSet.with_path_prefix`, or export with `--seen-as`.

Format: `Recording.to_dict` in lhotse/audio/recording.py, `SupervisionSegment.to_dict` in
lhotse/supervision.py, `DataCut.to_dict` in lhotse/cut/data.py. Lhotse is not needed to write it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Iterator
from typing import IO, Any

from gridprep.exporting.base import ExportJob, duration_s, ids, safe
from manifests.manifest import FeatureRow
from manifests.specs import VIDEO_FPS


def write(job: ExportJob) -> None:
    """Writes the layout."""
    names = ids(job.clips, separator="_")

    def copies(row: FeatureRow) -> None:
        for feature in ("audio", "lips"):
            job.copy(row, feature, _file(row, feature))

    for _ in job.each(copies):
        pass
    for subset, rows in job.subsets():
        with (
            _lines(job, f"recordings_{subset}") as recordings,
            _lines(job, f"supervisions_{subset}") as supervisions,
            _lines(job, f"cuts_{subset}") as cuts,
        ):
            for row in rows:
                recording = _recording(job, row, names[row.clip_id])
                supervision = _supervision(row, names[row.clip_id])
                for file, values in (
                    (recordings, recording),
                    (supervisions, supervision),
                    (cuts, _cut(_with_video(job, row, recording), supervision)),
                ):
                    file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")


def _file(row: FeatureRow, feature: str) -> str:
    suffix = row.path(feature).suffix
    return f"{feature}/{safe(row.speaker)}/{safe(row.stem)}{suffix}"


@contextlib.contextmanager
def _lines(job: ExportJob, what: str) -> Iterator[IO[bytes]]:
    with (
        job.sink.open(f"{job.name}_{what}.jsonl.gz") as file,
        # No time in the header, so that the same build gives the same bytes.
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
    ):
        yield packed  # type: ignore[misc]


def _kind(job: ExportJob) -> str:
    return "url" if "://" in job.sink.root else "file"


def _recording(job: ExportJob, row: FeatureRow, name: str) -> dict[str, Any]:
    sound = {"type": _kind(job), "channels": [0], "source": job.seen(_file(row, "audio"))}
    return {
        "id": name,
        "sources": [sound],
        "sampling_rate": row.sample_rate_hz,
        "num_samples": row.audio_samples,
        "duration": duration_s(row),
        "channel_ids": [0],
    }


def _with_video(job: ExportJob, row: FeatureRow, recording: dict[str, Any]) -> dict[str, Any]:
    side_px = job.manifest.header["specs"]["crop"]["lips_px"]
    lips = {
        "type": _kind(job),
        "channels": [],
        "source": job.seen(_file(row, "lips")),
        "video": {
            "fps": float(VIDEO_FPS),
            "num_frames": row.video_frames,
            "height": side_px,
            "width": side_px,
        },
    }
    return {**recording, "sources": [*recording["sources"], lips]}


def _supervision(row: FeatureRow, name: str) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": name,
        "recording_id": name,
        "start": 0.0,
        "duration": duration_s(row),
        "channel": 0,
        "text": row.sentence,
        "speaker": row.speaker,
    }
    if row.gender:
        values["gender"] = row.gender
    if row.words:
        # [symbol, start, duration, score]; the difference is rounded as lhotse rounds an end.
        values["alignment"] = {
            "word": [
                [word.word, word.start_s, round(word.end_s - word.start_s, 8), None]
                for word in row.words
            ]
        }
    return values


def _cut(recording: dict[str, Any], supervision: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": recording["id"],
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "type": "MonoCut",
    }
