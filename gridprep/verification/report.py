"""The result of verifying a corpus: per clip, per speaker, and as a whole (`verify.json`)."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from gridprep.corpora.repairs import Repair
from manifests.corpus_lists import expected_counts
from manifests.records import Record
from manifests.versions import versions

REPORT_VERSION = 1


@dataclass(frozen=True)
class VerifyOptions:
    """Options of a verification: which clips are checked, and how deeply.

    Attributes:
        corpus_kind: name of the corpus's recipe; "" where it shows by itself.
        speakers: the speakers to check; () is all of them.
        limit: at most this many clips, spread evenly over the speakers; 0 is all.
        quick: check file names and presence only; no clip is decoded.
        faces: look for the face too, with the build's default landmark backend (three times slower).
    """

    corpus: str
    corpus_kind: str = ""
    speakers: tuple[str, ...] = ()
    limit: int = 0
    jobs: int = 1
    quick: bool = False
    faces: bool = False


@dataclass(frozen=True)
class Problem(Record):
    """Something that makes a clip a failure in a build; reasons are the build's."""

    stage: str
    reason: str
    detail: str
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Finding(Record):
    """The findings about one clip.

    Attributes:
        problems: reasons for which the clip fails; a build records the first.
        flags: defects that a build tolerates or repairs in the clip itself (`frames_repeated`).
        repairs: misplaced files that a build pairs by stem (`alignment_folder`, `speaker_folder`);
            the clip itself has no defect.
        video: path relative to the corpus.
    """

    speaker: str
    stem: str
    problems: tuple[Problem, ...] = ()
    flags: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    video: str = ""

    @property
    def clip_id(self) -> str:
        return f"{self.speaker}/{self.stem}"

    @property
    def verdict(self) -> str:
        """`failed`, `flagged` or `ok`."""
        return "failed" if self.problems else "flagged" if self.flags else "ok"

    def to_dict(self) -> dict[str, Any]:
        return {"verdict": self.verdict, **super().to_dict()}


@dataclass(frozen=True)
class SpeakerCounts(Record):
    """A speaker's line of the table. `ok + flagged + failed == checked`.

    Attributes:
        speaker: the speaker of the stems; for files that are no clips the speaker that the folder
            names, or "?".
        expected: clips of a complete download.
        found: clips here, and files that only look like clips.
        checked: fewer than `found` with a limit.
        alignments: clips here that have an alignment.
        missing: expected clips that are not here.
        unlisted: clips here beyond the expected ones (GRID has six such).
        missing_stems: the first of the missing.
    """

    speaker: str
    expected: int
    found: int
    checked: int
    ok: int
    flagged: int
    failed: int
    alignments: int
    missing: int
    unlisted: int
    missing_stems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """The whole result. `findings` holds every checked clip, in the order of speakers and stems."""

    options: VerifyOptions
    root: str
    findings: tuple[Finding, ...]
    speakers: tuple[SpeakerCounts, ...]
    absent_speakers: tuple[str, ...]
    repairs: tuple[Repair, ...]
    duplicates: tuple[tuple[str, str], ...]
    orphan_alignments: int
    junk_files: int
    wall_s: float
    archives: tuple[str, ...] = ()

    def count(self, verdict: str) -> int:
        return sum(f.verdict == verdict for f in self.findings)

    @property
    def missing(self) -> int:
        """Expected clips that are not here, absent speakers included."""
        counts = expected_counts()
        return sum(s.missing for s in self.speakers) + sum(counts[s] for s in self.absent_speakers)

    def to_dict(self) -> dict[str, Any]:
        """The content of `verify.json`: clips that are fine are only counted."""
        return {
            "schema": "verify",
            "schema_version": REPORT_VERSION,
            "corpus": self.root,
            "options": asdict(self.options),
            "counts": {
                "checked": len(self.findings),
                **{verdict: self.count(verdict) for verdict in ("ok", "flagged", "failed")},
                "missing": self.missing,
                "reasons": dict(Counter(p.reason for f in self.findings for p in f.problems)),
                "flags": dict(Counter(flag for f in self.findings for flag in f.flags)),
                "repairs": dict(Counter(name for f in self.findings for name in f.repairs)),
                "duplicates": len(self.duplicates),
                "orphan_alignments": self.orphan_alignments,
                "junk_files": self.junk_files,
            },
            "speakers": [s.to_dict() for s in self.speakers],
            "absent_speakers": list(self.absent_speakers),
            "findings": [f.to_dict() for f in self.findings if f.verdict != "ok"],
            "repairs": [r.to_dict() for r in self.repairs],
            "duplicates": [{"used": used, "passed_over": other} for used, other in self.duplicates],
            "archives": list(self.archives),
            "versions": versions("av", "numpy", "soxr"),
            "wall_s": round(self.wall_s, 2),
        }
