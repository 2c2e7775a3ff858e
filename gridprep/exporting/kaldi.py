"""Kaldi data directories, as `utils/validate_data_dir.sh` takes them.

    train/ wav.scp  text  utt2spk  spk2utt  spk2gender  utt2dur  reco2dur  ctm
    wav/s1/bbaf2n.wav

Utterance ids begin with their speaker, lists are sorted as by `LC_ALL=C sort`, and `wav.scp` names
files. Format: https://kaldi-asr.org/doc/data_prep.html; `ctm`: `utterance channel start duration word`,
in seconds from the beginning of the clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gridprep.exporting.base import ExportJob, duration_s, ids, safe
from gridprep.exporting.sinks import write as write_file
from manifests.manifest import FeatureRow

GENDERS = {"female": "f", "male": "m"}


def write(job: ExportJob) -> None:
    """Writes the layout. Clips that have no text are a directory `SUBSET_untranscribed` of their own,
    since every utterance of a valid one has a text."""
    names = ids(job.clips)
    for row, _ in job.each(lambda row: job.copy(row, "audio", _wav(row))):
        del row
    for subset, rows in job.subsets():
        _directory(job, subset, [row for row in rows if row.sentence], names)
        silent = [row for row in rows if not row.sentence]
        if silent:
            _directory(job, f"{subset}_untranscribed", silent, names)
            job.notes.append(f"{len(silent)} clips without text are in {subset}_untranscribed")


def _wav(row: FeatureRow) -> str:
    return f"wav/{safe(row.speaker)}/{safe(row.stem)}.wav"


def _directory(
    job: ExportJob, folder: str, rows: Sequence[FeatureRow], names: dict[str, str]
) -> None:
    if not rows:
        return
    utterances = {names[row.clip_id]: row for row in rows}
    order = sorted(utterances, key=str.encode)
    speakers: dict[str, list[str]] = {}
    genders: dict[str, str] = {}
    for utterance in order:
        speaker = safe(utterances[utterance].speaker)
        speakers.setdefault(speaker, []).append(utterance)
        genders[speaker] = GENDERS.get(utterances[utterance].gender, "")

    def lists(name: str, lines: Iterable[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        if text:
            write_file(job.sink, f"{folder}/{name}", text)

    by_speaker = sorted(speakers, key=str.encode)
    lists("wav.scp", (f"{u} {job.seen(_wav(utterances[u]))}" for u in order))
    lists("text", (f"{u} {utterances[u].sentence}" for u in order if utterances[u].sentence))
    lists("utt2spk", (f"{u} {safe(utterances[u].speaker)}" for u in order))
    lists("spk2utt", (f"{s} {' '.join(speakers[s])}" for s in by_speaker))
    for name in ("utt2dur", "reco2dur"):
        lists(name, (f"{u} {_seconds(duration_s(utterances[u]))}" for u in order))
    lists(
        "ctm",
        (
            f"{u} 1 {_seconds(w.start_s)} {_seconds(w.end_s - w.start_s)} {w.word}"
            for u in order
            for w in utterances[u].words
        ),
    )
    if all(genders.values()):  # a list of some speakers makes the directory invalid
        lists("spk2gender", (f"{s} {genders[s]}" for s in by_speaker))
    else:
        unknown = sum(not gender for gender in genders.values())
        job.notes.append(f"{folder} has no spk2gender: the gender of {unknown} speakers is unknown")


def _seconds(value_s: float) -> str:
    return f"{value_s:.4f}".rstrip("0").rstrip(".")
