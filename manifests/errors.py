"""Errors for the user: one line that names the cause and the remedy.

Every program of the toolkit turns a `ToolkitError` into that one line on standard error and the
error's `exit_code`; anything else is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import errno


class ToolkitError(Exception):
    """Base of all errors meant for the user.

    Args:
        problem: what is wrong, naming the file or option.
        remedy: what to do about it, in the imperative; may be empty.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}" if remedy else problem)


def in_short(error: BaseException, most: int = 160) -> str:
    """Returns what an error of a library says, in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]


class BadInput(ToolkitError):
    """A file, option or value from outside cannot be used."""

    exit_code = 2


class SpecMismatch(BadInput):
    """Two artifacts were made with different parameters and must not be mixed."""


class ManifestError(BadInput):
    """A manifest or one of its rows breaks the contract (schema, physics or missing files)."""


class MissingDependency(ToolkitError):
    """An optional library or its weights are absent; the message names the pip extra or the path."""

    exit_code = 3


class Locked(ToolkitError):
    """Another process is writing to the same folder."""

    exit_code = 4


class TooManyFailures(ToolkitError):
    """More clips failed than `--max-failures` allows. Finished clips are kept."""

    exit_code = 5


class ClipError(Exception):
    """One clip cannot be processed. Caught per clip and recorded as a `ClipFailure`, never fatal.

    Args:
        stage: where it happened, one of `manifests.records.STAGES`.
        reason: a short stable identifier (`grey_frames`, `no_face`), so that failures can be counted.
        detail: one sentence for a person, with the evidence.
        evidence: numbers behind the verdict.
    """

    def __init__(
        self, stage: str, reason: str, detail: str, evidence: dict[str, object] | None = None
    ) -> None:
        self.stage = stage
        self.reason = reason
        self.detail = detail
        self.evidence = evidence or {}
        super().__init__(f"{stage}: {reason}: {detail}")

    def __reduce__(self):  # type: ignore[no-untyped-def]
        # Exceptions cross process boundaries; the default would re-create us from the message alone.
        return (type(self), (self.stage, self.reason, self.detail, self.evidence))


_REMEDIES = {
    errno.ENOSPC: "free space or choose another folder",
    errno.EDQUOT: "free space, ask for a larger quota or choose another folder",
    errno.EFBIG: "choose a file system that takes larger files",
    errno.EACCES: "change the permissions or choose another path",
    errno.EPERM: "change the permissions or choose another path",
    errno.EROFS: "choose a path that is not read-only",
    errno.EEXIST: "choose another path",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "check the path: a part of it is a file",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount the network file system again",
}


def remedy_of(error: OSError) -> str:
    """Remedy for an error of the file system, in the imperative."""
    return _REMEDIES.get(error.errno or 0, "check the path")
