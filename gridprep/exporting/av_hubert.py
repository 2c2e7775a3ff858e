"""AV-HuBERT's data, as the scripts of `avhubert/preparation` leave it (github.com/facebookresearch/
av_hubert, 593d0ae; read by `avhubert/hubert_dataset.py`).

    video/trainval/s1/bbaf2n.mp4   audio/trainval/s1/bbaf2n.wav       test/… for the test clips
    file.list  label.list  nframes.audio  nframes.video  valid.id
    NAME_data/ train.tsv  train.wrd  valid.tsv  valid.wrd  test.tsv  test.wrd

A `.tsv` begins with the root `/`; its lines are id, video, audio, video frames, samples, with absolute
paths, since the loader opens the sound without the root. `dict.wrd.txt` is the vocabulary of the
checkpoint that you fine-tune: copy it, or run `lrs3_manifest.py --lrs3 OUT --valid-ids OUT/valid.id`,
which reads the five lists and makes one from the text.
"""

from __future__ import annotations

from gridprep.exporting.base import ExportJob, ids
from gridprep.exporting.lips96 import encoded_lips
from gridprep.exporting.sinks import write as write_file
from manifests.manifest import FeatureRow

PARTS = {"train": "train", "val": "valid", "test": "test"}
"""Our subset → name of its lists."""


def write(job: ExportJob) -> None:
    """Writes the layout."""
    names = {
        clip_id: f"{'test' if test else 'trainval'}/{name}"
        for (clip_id, name), test in zip(
            ids(job.clips, r"\s\\", separator="/").items(),
            (row.subset == "test" for row in job.clips),
            strict=True,
        )
    }

    def one(row: FeatureRow) -> None:
        name = names[row.clip_id]
        write_file(job.sink, f"video/{name}.mp4", encoded_lips(row))
        job.copy(row, "audio", f"audio/{name}.wav")

    for _ in job.each(one):
        pass

    def lists(name: str, lines: list[str]) -> None:
        write_file(job.sink, name, "".join(f"{line}\n" for line in lines))

    lists("file.list", [names[row.clip_id] for row in job.clips])
    lists("label.list", [row.sentence for row in job.clips])
    lists("nframes.audio", [str(row.audio_samples) for row in job.clips])
    lists("nframes.video", [str(row.video_frames) for row in job.clips])
    lists("valid.id", [names[row.clip_id] for row in job.clips if row.subset == "val"])
    for subset, rows in job.subsets():
        part = f"{job.name}_data/{PARTS[subset]}"
        lists(f"{part}.tsv", ["/", *(_line(job, row, names[row.clip_id]) for row in rows)])
        lists(f"{part}.wrd", [row.sentence for row in rows])


def _line(job: ExportJob, row: FeatureRow, name: str) -> str:
    return "\t".join(
        (
            name,
            job.seen(f"video/{name}.mp4"),
            job.seen(f"audio/{name}.wav"),
            str(row.video_frames),
            str(row.audio_samples),
        )
    )
