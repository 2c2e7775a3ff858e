"""Speech by espeak-ng, through the wheel `espeakng-loader`: samples, word times, phoneme times.

espeak-ng keeps hidden state from one utterance to the next (even its lengths change), so that a clip
would depend on what its process spoke before. Here the library is loaded afresh for every utterance and
unloaded after it, which takes 4 ms and makes every clip repeatable.
"""

from __future__ import annotations

import _ctypes
import ctypes
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifests.errors import MissingDependency, ToolkitError
from manifests.grammar import words_of

LETTER_NAMES = {
    "a": "'eI", "b": "b'i:", "c": "s'i:", "d": "d'i:", "e": "'i:", "f": "'Ef", "g": "dZ'i:",
    "h": "'eItS", "i": "'aI", "j": "dZ'eI", "k": "k'eI", "l": "'El", "m": "'Em", "n": "'En",
    "o": "'oU", "p": "p'i:", "q": "kj'u:", "r": "'A:", "s": "'Es", "t": "t'i:", "u": "j'u:",
    "v": "v'i:", "x": "'Eks", "y": "w'aI", "z": "z'Ed",
}  # fmt: skip
"""British names of the letters, in espeak-ng's phonemes: its text rules read "a" as an article."""

_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_WORD, _PHONEME, _END = 1, 7, 5  # espeak_EVENT_TYPE
_lock = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Spoken:
    """An utterance spoken by espeak-ng.

    Attributes:
        samples: (n,) float64 in [-1, 1].
        rate_hz: sample rate of `samples`.
        words: start times in seconds, one per word.
        phonemes: names with start times in seconds.
        end_s: when the last sound ends.
    """

    samples: NDArray[np.float64]
    rate_hz: int
    words_s: tuple[float, ...]
    phonemes: tuple[tuple[str, float], ...]
    end_s: float


def _unload(library: ctypes.CDLL) -> None:
    if hasattr(_ctypes, "dlclose"):
        _ctypes.dlclose(library._handle)
    else:  # Windows
        _ctypes.FreeLibrary(library._handle)  # type: ignore[attr-defined]


def speak(text: str, voice: str, rate_wpm: int, pitch: int, pitch_range: int) -> Spoken:
    """Speaks with a fresh espeak-ng. Raises `MissingDependency` when its library cannot be used."""
    try:
        import espeakng_loader

        path, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    except ImportError as error:
        raise MissingDependency(
            f"espeak-ng cannot be loaded ({error})", "pip install 'facetron-toolkit[prep]'"
        ) from None
    pieces: list[NDArray[np.int16]] = []
    words: list[float] = []
    phonemes: list[tuple[str, float]] = []
    end_ms = [0]

    def take(
        samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]
    ) -> int:
        if count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        k = 0
        while events[k].type != 0:
            event = events[k]
            if event.type == _WORD:
                words.append(event.audio_position / 1000)
            elif event.type == _PHONEME:
                phonemes.append(
                    (event.id.string.decode("utf-8", "replace"), event.audio_position / 1000)
                )
            elif event.type == _END:
                end_ms[0] = max(end_ms[0], event.audio_position)
            k += 1
        return 0

    with _lock:  # espeak-ng is one global machine
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise MissingDependency(
                f"espeak-ng cannot be loaded ({error})", "reinstall espeakng-loader"
            ) from None
        callback = _Callback(take)
        try:
            # 2: hand the samples over when called; bit 0 phoneme events, bit 15 do not exit on error.
            rate_hz = library.espeak_Initialize(2, 0, data.encode(), 1 | 1 << 15)
            if rate_hz <= 0:
                raise MissingDependency(
                    f"espeak-ng finds no voices in {data}", "reinstall espeakng-loader"
                )
            library.espeak_SetSynthCallback(callback)
            if library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ToolkitError(f"espeak-ng has no voice {voice}", "reinstall espeakng-loader")
            library.espeak_ng_SetRandSeed(ctypes.c_long(1))
            for parameter, value in ((_RATE, rate_wpm), (_PITCH, pitch), (_RANGE, pitch_range)):
                library.espeak_SetParameter(parameter, value, 0)
            letters = text.encode() + b"\0"
            # 1: UTF-8; 0x100: [[…]] holds phonemes.
            library.espeak_Synth(letters, len(letters), 0, 1, 0, 1 | 0x100, None, None)
            library.espeak_Terminate()
        finally:
            _unload(library)
    samples = np.concatenate(pieces).astype(np.float64) / 32768
    sounding = [p for p in phonemes if not p[0].startswith("_")]
    pauses = [at for name, at in phonemes if name.startswith("_") and at >= sounding[-1][1]]
    end_s = min(pauses) if pauses else end_ms[0] / 1000
    return Spoken(samples, rate_hz, tuple(words), tuple(sounding), end_s)


def spelled(stem: str) -> str:
    """The sentence of a stem in the spelling that espeak-ng reads correctly."""
    words = list(words_of(stem))
    words[3] = f"[[{LETTER_NAMES[words[3]]}]]"
    return " ".join(words)
