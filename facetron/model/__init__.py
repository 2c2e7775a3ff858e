"""The network of the paper, one module per file, with its losses, options and sizes.

| paper | file |
|---|---|
| III, lip encoder (Eq. 1) | `lip.py`, its letters `ctc.py` |
| III, face encoder (Eq. 1 and 5) | `face.py`, `inception_resnet.py` |
| III, decoder (Eq. 2 and 3) | `decoder.py`, `hifigan.py`; the whole of Figure 1 `facetron.py` |
| III, vocoder | `vocoder.py`, `excitation.py` (not in the paper) |
| III, discriminators | `discriminators.py` |
| IV-A, losses (Eq. 4 and 5), prosody encoder | `losses.py`, `prosody.py` |
| IV-B, choice of a face (Eq. 6) | `i2i.py` |

`config.py` has the options, `sizes.py` their presets, `encoders.py` the kinds of encoders, `paper.py` the
paper's words and our departures, `system.py` the entry in the registry of systems.
"""
