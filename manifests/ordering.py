"""Natural sort order of names: s2 before s10."""

from __future__ import annotations

import re


def natural(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that reads digits as numbers; signs come after digits and letters.

    >>> sorted(["s10/bbaf2n", "?", "s2/bbaf2n"], key=natural)
    ['s2/bbaf2n', 's10/bbaf2n', '?']
    """
    key: list[tuple[int, int | str]] = []
    for piece in re.findall(r"[0-9]+|[^0-9\s]", name):
        if piece[0] in "0123456789":
            key.append((0, int(piece)))
        else:
            key.append((1 if piece.isalpha() else 2, piece))
    return tuple(key)
