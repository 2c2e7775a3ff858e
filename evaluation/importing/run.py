"""Imports the speech of any system as a run directory, so that it is scored like every other run.

    run_dir/
      run.json, clips.jsonl, failures.jsonl   as of any run
      wavs/<speaker>/<stem>.wav               mono at the file's own rate, PCM16 where that loses
                                              nothing, else 32-bit float
      import.jsonl                            one line per file: its properties, the outcome, and
                                              the reason

Nothing is resampled, cut, padded or levelled here: the metrics score the files as published.
"""

from __future__ import annotations

import collections
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evaluation.importing.audio import Decoded, Undecodable, decode
from evaluation.importing.matching import (
    OUTCOMES,
    Asked,
    ImportedFile,
    ImportOptions,
    clip_of_key,
    clips_asked_for,
    match_files,
    path_of,
)
from evaluation.inputs.pairs import LENGTH_TOLERANCE_S
from manifests.audio import Mono, to_mono, write_wav
from manifests.console import Progress
from manifests.errors import BadInput
from manifests.io import read_json, sha256_file, write_json, write_jsonl
from manifests.records import ClipFailure, RunClip, RunInfo
from manifests.runs import check_name
from manifests.versions import library_version


@dataclass(frozen=True)
class ImportReport:
    """`asked == imported + failed + missing`, always.

    Attributes:
        missing: labels of expected clips without a file.
        unused: aliases that no file has.
        lines: outcome of each file.
    """

    asked: int
    imported: int
    failed: int
    missing: tuple[str, ...]
    lines: tuple[ImportedFile, ...]
    unused: tuple[str, ...] = ()

    def count(self, outcome: str) -> int:
        return sum(line.outcome == outcome and line.of == "system" for line in self.lines)


def import_run(options: ImportOptions) -> ImportReport:
    """Writes the run directory `options.out`.

    Raises:
        BadInput: a pattern, folder or manifest that cannot be used, two files of one clip, nothing
            that matches, or an `out` that holds something else.
    """
    check_out(options.out, options.name)
    for option, folder in (("--wavs", options.wavs), ("--references", options.references)):
        if folder is not None and options.out.resolve() in (
            folder.resolve(),
            *folder.resolve().parents,
        ):
            raise BadInput(
                f"{option} {folder} lies in --out {options.out}, which is written to",
                "choose another --out",
            )
    lines: list[ImportedFile] = []
    asked = clips_asked_for(options, lines)
    files = match_files(options, asked, lines)
    there = {key[:2] for key in files}
    missing = tuple(f"{s}/{stem}" for s, stem in asked.clips if (s, stem) not in there)
    info = _info(options, asked, len(files) + len(missing))
    finished = options.out / "clips.jsonl"
    finished.unlink(missing_ok=True)  # a half-made run is never scored
    write_json(options.out / "run.json", info.to_dict())
    clips: list[RunClip] = []
    failures: list[ClipFailure] = []
    rates: collections.Counter[int] = collections.Counter()
    with Progress(len(files), "import") as bar:
        for key, file in sorted(files.items()):
            clip = clip_of_key(key, asked)
            recording = asked.recordings.get(key[:2])
            if recording is not None:
                clip = replace(clip, reference=_reference(recording, options, clip, lines))
            line = convert(path_of(options.wavs, file), options.out / clip.wav, file, clip)
            if line.outcome == "imported":
                line = replace(line, done=(*line.done, *_length(line, options.out, clip)))
                clips.append(clip)
                rates[line.rate_hz] += 1
            else:
                reason, _, detail = line.detail.partition(": ")
                failures.append(
                    ClipFailure(clip.speaker, clip.stem, "import", reason, detail, file)
                )
            lines.append(line)
            bar.update(1, failures=len(failures))
    report = ImportReport(
        info.n_expected,
        len(clips),
        len(failures),
        missing,
        tuple(lines),
        tuple(asked.aliases.unused),
    )
    counts = {outcome: report.count(outcome) for outcome in OUTCOMES}
    info = replace(
        info,
        sample_rate_hz=rates.most_common(1)[0][0] if rates else 0,
        parameters={**info.parameters, "files": counts},
    )
    write_jsonl(options.out / "import.jsonl", "import", lines)
    write_jsonl(options.out / "failures.jsonl", "failures", failures)
    write_json(options.out / "run.json", info.to_dict())
    write_jsonl(finished, "run-clips", clips)
    return report


def _info(options: ImportOptions, asked: Asked, n_expected: int) -> RunInfo:
    return RunInfo(
        name=options.name,
        kind=options.kind,
        split=asked.split,
        subset=options.subset,
        sample_rate_hz=0,
        n_expected=n_expected,
        manifest_sha256=asked.manifest_sha256,
        parameters={
            "imported": True,
            "wavs": str(options.wavs),
            "pattern": options.pattern,
            "references": str(options.references or ""),
            "reference_pattern": options.reference_pattern,
            "sentences": str(options.sentences or ""),
            "aliases": dict(asked.aliases.meant),
        },
        versions={n: library_version(n) for n in ("facetron-toolkit", "soundfile", "av")},
        corpus=asked.corpus,
    )


def check_out(out: Path, name: str) -> None:
    """Raises `BadInput` where `out` holds anything but an earlier import of the same system, or the system
    has no name."""
    check_name(name)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / "run.json").is_file():
        raise BadInput(f"{out} exists and is no run directory", "choose another --out")
    values = read_json(out / "run.json")
    parameters = values.get("parameters") if isinstance(values, dict) else None
    imported = isinstance(parameters, dict) and parameters.get("imported") is True
    if not imported or values.get("name") != name:
        raise BadInput(f"{out} holds another run", "choose another --out or delete that folder")


def _reference(path: Path, options: ImportOptions, clip: RunClip, lines: list[ImportedFile]) -> str:
    """Path of a recording for `clips.jsonl`: where it lies if metrics can read it there, or if
    nobody can, else that of a converted copy."""
    import soundfile

    try:
        soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        stored = f"references/{clip.speaker}/{clip.stem}.wav"
        inside = options.references is not None and path.is_relative_to(options.references)
        name = path.relative_to(options.references or "").as_posix() if inside else path.name
        line = convert(path, options.out / stored, name, clip)
        lines.append(replace(line, of="recording"))
        if line.outcome == "imported":
            return stored
    return relative_path(options.out, path)


def relative_path(folder: Path, target: Path) -> str:
    """POSIX path from a folder to a file, through real paths; absolute on another drive."""
    start, end = os.path.realpath(folder), os.path.realpath(target)
    try:
        return Path(os.path.relpath(end, start)).as_posix()
    except ValueError:
        return Path(end).as_posix()


def convert(source: Path, target: Path, file: str, clip: RunClip) -> ImportedFile:
    """Writes a file's sound as the run's wav; never raises for what the file holds."""
    label = clip.label
    try:
        sha256 = sha256_file(source)
        found = decode(source)
    except Undecodable as error:
        return ImportedFile(file, "failed", label, detail=str(error))
    except OSError as error:
        return ImportedFile(file, "failed", label, detail=f"unreadable: {error.strerror}")
    except Exception as error:  # a decoder's defect costs this file, never the others
        told = " ".join(str(error).split())
        return ImportedFile(
            file, "failed", label, detail=f"undecodable: {type(error).__name__}: {told}"
        )
    mixed = to_mono(found.samples)
    mono = mixed.samples
    # A mean of channels has values between the steps of 16 bits; one channel alone has none.
    pcm16 = found.exact_as_pcm16 and (found.samples == mono[:, None]).all(axis=0).any()
    write_wav(target, mono, found.rate_hz, encoding="PCM_16" if pcm16 else "FLOAT")
    return ImportedFile(
        file,
        "imported",
        label,
        codec=found.codec,
        rate_hz=found.rate_hz,
        channels=found.samples.shape[1],
        samples=len(mono),
        duration_s=round(len(mono) / found.rate_hz, 4),
        stored="PCM_16" if pcm16 else "FLOAT",
        done=(*found.notes, *_mixing(found, mixed), *_oddities(found)),
        sha256=sha256,
    )


def _mixing(found: Decoded, mixed: Mono[np.float64]) -> list[str]:
    """Returns a note on how several channels became one."""
    channels = mixed.channels
    if channels == 1:
        return []
    if mixed.cancelled:
        return [f"the loudest of {channels} channels, which cancel each other"]
    if mixed.kept < channels:
        return [f"{mixed.kept} of {channels} channels carry sound"]
    if (found.samples == found.samples[:, :1]).all():
        return [f"{channels} equal channels"]
    return [f"mean of {channels} channels"]


def _oddities(found: Decoded) -> list[str]:
    """Returns notes on properties that are left unchanged but influence scores."""
    samples = found.samples
    if not np.isfinite(samples).all():
        return ["kept NaN or infinite samples"]
    return ["kept samples beyond full scale"] if np.abs(samples).max() > 1 else []


def _length(line: ImportedFile, out: Path, clip: RunClip) -> list[str]:
    """A sentence where the file cannot be compared with its recording frame by frame."""
    import soundfile

    if not clip.reference:
        return ["no recording to compare with"]
    try:
        recording_s = soundfile.info(out / clip.reference).duration
    except (soundfile.SoundFileError, OSError):
        return ["its recording cannot be read"]
    if abs(line.duration_s - recording_s) <= LENGTH_TOLERANCE_S:
        return []
    how = "longer" if line.duration_s > recording_s else "shorter"
    return [f"{how} than its recording by more than {LENGTH_TOLERANCE_S} s"]


def summary(report: ImportReport) -> list[str]:
    """Returns the formats of the imported files and the changes made, for the terminal."""
    done = [line for line in report.lines if line.outcome == "imported" and line.of == "system"]
    found = []
    if done:
        codecs = collections.Counter(f"{line.codec} {line.rate_hz} Hz" for line in done)
        found.append(", ".join(f"{n} × {what}" for what, n in codecs.most_common()))
        low, high = (pick(line.duration_s for line in done) for pick in (min, max))
        found.append(f"{low:.2f} to {high:.2f} s long")
    actions = collections.Counter(action for line in done for action in line.done)
    return [*found, *(f"{n} × {action}" for action, n in actions.most_common())]
