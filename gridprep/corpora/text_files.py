"""Small text files beside clips, read where the clip is processed."""

from __future__ import annotations

from manifests.errors import ClipError
from manifests.mediafile import kind_of_file

MOST_BYTES = 1_000_000


def read_text(path: str) -> str:
    """The text of an annotation, UTF-8 or Latin-1. Raises `ClipError` (`alignment`): `alignment_missing`,
    `alignment_garbled`."""
    try:
        if kind := kind_of_file(path):
            raise ClipError("alignment", "alignment_garbled", f"{path} is {kind}, not a file")
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ClipError("alignment", "alignment_missing", f"{path} does not exist") from None
    except OSError as error:
        raise ClipError(
            "alignment", "alignment_garbled", f"{path} cannot be read ({error.strerror})"
        ) from None
    if len(data) > MOST_BYTES or b"\x00" in data:
        raise ClipError("alignment", "alignment_garbled", f"{path} is no text of a clip")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
