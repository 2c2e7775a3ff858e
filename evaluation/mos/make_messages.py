"""Makes `choose_1.ogg` … `choose_5.ogg`, the spoken messages of trapping questions.

No program runs this: it documents where the files come from.

    python -m evaluation.mos.make_messages

They are spoken by espeak-ng (through the wheel `espeakng-loader`), brought to 16 kHz and stored as
Ogg Vorbis.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

TEXT = "This is a check. Please choose the number {}. That is {}."
NUMBERS = ("one", "two", "three", "four", "five")
RATE_HZ = 16_000
WORDS_A_MINUTE = 165
RETRIEVAL, CHARS_UTF8, RATE_PARAMETER = 1, 1, 1  # of speak_lib.h


def speak(text: str) -> tuple[NDArray[np.float64], int]:
    """(samples in ±1, rate in Hz) of a sentence in espeak-ng's British voice."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    folder = Path(espeakng_loader.get_data_path())
    if len(str(folder)) > 150:  # espeak-ng cuts longer paths off
        link = Path(tempfile.mkdtemp()) / "data"
        link.symlink_to(folder)
        folder = link
    rate_hz = library.espeak_Initialize(RETRIEVAL, 0, str(folder).encode(), 0)
    pieces: list[NDArray[np.int16]] = []
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )

    def take(samples: ctypes._Pointer[ctypes.c_short], n: int, _events: int | None) -> int:
        if n > 0:
            pieces.append(np.ctypeslib.as_array(samples, (n,)).copy())
        return 0

    callback = kind(take)
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(b"en-gb")
    library.espeak_SetParameter(RATE_PARAMETER, WORDS_A_MINUTE, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 1, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    library.espeak_Terminate()
    return np.concatenate(pieces) / 32768, int(rate_hz)


def main() -> None:
    import soxr

    for number, word in enumerate(NUMBERS, 1):
        samples, rate_hz = speak(TEXT.format(word, word))
        loud = np.flatnonzero(np.abs(samples) > 0.003)
        samples = samples[loud[0] : loud[-1] + round(0.15 * rate_hz)]
        path = Path(__file__).with_name(f"choose_{number}.ogg")
        soundfile.write(path, soxr.resample(samples, rate_hz, RATE_HZ), RATE_HZ, subtype="VORBIS")


if __name__ == "__main__":
    main()
