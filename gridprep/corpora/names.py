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
    if len(text.encode()) > LONGEST:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        text = text.encode()[: LONGEST - 9].decode("utf-8", "ignore") + "_" + digest
    return text or "_"
