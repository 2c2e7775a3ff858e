"""Names of speakers and clips made from paths and cells, fit to be folders and files of a build."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 100
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\s]+')


def safe_name(text: str) -> str:
    """A name without separators, blanks and what file systems refuse; letters of any script stay. Bytes
    that are no UTF-8 are written as %XX; long names are cut and end in a hash.

    >>> safe_name("Jörg 1/Übung: eins"), safe_name("..hidden"), safe_name("")
    ('Jörg_1_Übung_eins', 'hidden', '_')
    """
    text = "".join(f"%{ord(c) & 0xFF:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
    text = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text)).strip("._ ")
    return shortened(text, LONGEST) or "_"


def shortened(text: str, most_bytes: int) -> str:
    """A text of at most so many bytes of UTF-8; one that must be cut ends in a hash of the whole.

    >>> shortened("short", 12), shortened("a very long name", 12)
    ('short', 'a v_4e54041b')
    """
    if len(text.encode()) <= most_bytes:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text.encode()[: most_bytes - 9].decode("utf-8", "ignore") + "_" + digest
