"""Parquet for Hugging Face `datasets`, sound and lips in it, with a card: loadable without this toolkit.

    README.md  data/train-00000-of-00002.parquet …

`datasets.load_dataset(OUT)` gives the splits train, validation and test with the columns id, speaker,
gender, text, duration_s, words (word, start_s, end_s), audio, lips (the bytes of the stored video),
video_frames and fps. The types are in the metadata of the files (key `huggingface`, as
datasets/features/features.py and arrow_writer.py of 5.2 write it); any other reader of Parquet takes
`audio.bytes` for the WAV that it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gridprep.exporting.base import ExportJob, duration_s, ids, whole_number
from gridprep.exporting.sinks import write as write_file
from manifests.console import Progress
from manifests.manifest import FeatureRow
from manifests.specs import VIDEO_FPS

SPLITS = {"train": "train", "val": "validation", "test": "test"}
GROUP = 64
"""Clips in memory at a time, and in one group of rows."""

FEATURES: dict[str, Any] = {
    "id": {"dtype": "string", "_type": "Value"},
    "speaker": {"dtype": "string", "_type": "Value"},
    "gender": {"dtype": "string", "_type": "Value"},
    "text": {"dtype": "string", "_type": "Value"},
    "duration_s": {"dtype": "float64", "_type": "Value"},
    "words": [
        {
            "word": {"dtype": "string", "_type": "Value"},
            "start_s": {"dtype": "float64", "_type": "Value"},
            "end_s": {"dtype": "float64", "_type": "Value"},
        }
    ],
    "audio": {"sampling_rate": 16_000, "_type": "Audio"},
    "lips": {"dtype": "binary", "_type": "Value"},
    "video_frames": {"dtype": "int32", "_type": "Value"},
    "fps": {"dtype": "int32", "_type": "Value"},
}


def _schema(rate_hz: int) -> pa.Schema:
    word = pa.struct([("word", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())])
    features = {**FEATURES, "audio": {"sampling_rate": rate_hz, "_type": "Audio"}}
    return pa.schema(
        [
            ("id", pa.string()),
            ("speaker", pa.string()),
            ("gender", pa.string()),
            ("text", pa.string()),
            ("duration_s", pa.float64()),
            ("words", pa.list_(word)),
            ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("lips", pa.binary()),
            ("video_frames", pa.int32()),
            ("fps", pa.int32()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


def write(job: ExportJob) -> None:
    """Writes the layout; a gender that is unknown is null."""
    names = ids(job.clips)
    per_file = whole_number(job.options, "clips_per_shard", 1000)
    schema = _schema(job.clips[0].sample_rate_hz)
    with Progress(len(job.clips), "export") as progress:
        for subset, rows in job.subsets():
            n_files = -(-len(rows) // per_file)
            for number in range(n_files):
                chosen = rows[number * per_file : (number + 1) * per_file]
                name = f"data/{SPLITS[subset]}-{number:05d}-of-{n_files:05d}.parquet"
                with (
                    job.sink.open(name) as file,
                    pq.ParquetWriter(file, schema, write_page_index=True) as table,
                ):
                    for start in range(0, len(chosen), GROUP):
                        group = chosen[start : start + GROUP]
                        table.write_table(_table(group, names, schema))
                        progress.update(len(group))
    write_file(job.sink, "README.md", _card(job))


def _table(rows: Sequence[FeatureRow], names: dict[str, str], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": names[row.clip_id],
                "speaker": row.speaker,
                "gender": row.gender or None,
                "text": row.sentence,
                "duration_s": duration_s(row),
                "words": [
                    {"word": w.word, "start_s": w.start_s, "end_s": w.end_s} for w in row.words
                ],
                "audio": {
                    "bytes": row.path("audio").read_bytes(),
                    "path": f"{names[row.clip_id]}.wav",
                },
                "lips": row.path("lips").read_bytes(),
                "video_frames": row.video_frames,
                "fps": VIDEO_FPS,
            }
            for row in rows
        ],
        schema=schema,
    )


def _card(job: ExportJob) -> str:
    """The card with the block of YAML by which `datasets` finds the files of each split."""
    files = "".join(
        f"  - split: {SPLITS[subset]}\n    path: data/{SPLITS[subset]}-*.parquet\n"
        for subset, _ in job.subsets()
    )
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n\n# {job.name}\n\n"
        f"{len(job.clips)} clips of {len({row.speaker for row in job.clips})} speakers; lips are "
        f"videos of mouth crops at {VIDEO_FPS} frames per second.\n"
    )
