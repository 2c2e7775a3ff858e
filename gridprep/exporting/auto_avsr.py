"""auto_avsr's preprocessed data set, as `preparation/preprocess_lrs2lrs3.py` writes it
(github.com/mpc001/auto_avsr, f392433; read by `datamodule/av_dataset.py`).

    NAME/NAME_video_seg24s/s1/bbaf2n.mp4  .wav     gray 96², 25 fps; 16 kHz
    NAME/NAME_text_seg24s/s1/bbaf2n.txt            upper case, as LRS3's and as its ASR step writes
    labels/NAME_train_transcript_lengths_seg24s.csv   NAME,path below NAME/,frames,token ids

The token ids are those of its SentencePiece model, which `--option spm=DIR` names (`spm/unigram` of the
repository); without it the last column is empty, which is enough to read clips and not to train.
Clips over 24 s are exported whole; the loader takes any length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gridprep.exporting.base import ExportJob, ids
from gridprep.exporting.lips96 import encoded_lips
from gridprep.exporting.sinks import write as write_file
from manifests.errors import BadInput, MissingDependency
from manifests.manifest import FeatureRow

SEGMENT_S = 24


def write(job: ExportJob) -> None:
    """Writes the layout."""
    tokens = _tokenizer(job.options.get("spm", ""))
    # Its list is split at commas, so no name may hold one.
    names = ids(job.clips, r"\s,\\", separator="/")
    video, text = (f"{job.name}_{what}_seg{SEGMENT_S}s" for what in ("video", "text"))

    def one(row: FeatureRow) -> str:
        name = names[row.clip_id]
        write_file(job.sink, f"{job.name}/{video}/{name}.mp4", encoded_lips(row))
        job.copy(row, "audio", f"{job.name}/{video}/{name}.wav")
        said = row.sentence.upper()
        write_file(job.sink, f"{job.name}/{text}/{name}.txt", said)
        ids_of = " ".join(map(str, tokens(said)))
        return f"{job.name},{video}/{name}.mp4,{row.video_frames},{ids_of}\n"

    lines: dict[str, list[str]] = {}
    for row, line in job.each(one):
        lines.setdefault(row.subset, []).append(line)
    for subset, listed in lines.items():
        file = f"{job.name}_{subset}_transcript_lengths_seg{SEGMENT_S}s.csv"
        write_file(job.sink, f"labels/{file}", "".join(listed))
    if "spm" not in job.options:
        job.notes.append("the labels have no token ids: --option spm=DIR names the model for them")


def _tokenizer(folder: str) -> Callable[[str], Sequence[int]]:
    """`TextTransform.tokenize` of auto_avsr: pieces of the model to the ids of its list of units."""
    if not folder:
        return lambda text: ()
    model, units = (Path(folder) / f"unigram5000{end}" for end in (".model", "_units.txt"))
    for path in (model, units):
        if not path.is_file():
            raise BadInput(f"{path} does not exist", "give auto_avsr's spm/unigram as spm")
    try:
        import sentencepiece
    except ImportError:
        raise MissingDependency("spm needs sentencepiece", "pip install sentencepiece") from None
    try:
        ids_of = {
            fields[0]: int(fields[-1])
            for line in units.read_text(encoding="utf-8").splitlines()
            if (fields := line.split())
        }
        unknown = ids_of["<unk>"]
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadInput(f"{folder} cannot be used as spm ({error})", "check the files") from None
    return lambda text: [ids_of.get(piece, unknown) for piece in pieces.EncodeAsPieces(text)]
