"""Shards: which clips each of several jobs takes that know nothing of each other.

A clip's shard follows from its identifier alone, so it is the same on every machine and whatever else
a corpus or a run holds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from manifests.errors import BadInput


@dataclass(frozen=True)
class Shard:
    """One of several parts of a set of clips.

    Example:
        >>> Shard.parse("2/4")
        Shard(number=2, count=4)
        >>> [Shard(i, 3).holds("s1/bbaf2n") for i in (1, 2, 3)].count(True)
        1
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/4` is the second of four. Raises `BadInput`."""
        number, slash, count = text.partition("/")
        if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise BadInput(f"--shard {text}", "write i/n with i from 1 to n, such as 2/4")

    def holds(self, clip_id: str) -> bool:
        """Returns whether a clip belongs to this part; it belongs to one of them."""
        digest = hashlib.sha256(clip_id.encode("utf-8", "backslashreplace")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1
