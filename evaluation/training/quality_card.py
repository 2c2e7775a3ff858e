"""The quality network's card for readers, from the numbers that its training found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from evaluation.training.common import UNSEEN
from evaluation.training.quality_data import Item
from evaluation.training.quality_degradations import HELD_OUT, SEEN
from manifests.ordering import natural

SETS = {
    "val": "trained speakers' other clips, trained families",
    "speakers": "speakers left out, trained families",
    "families": "trained speakers' other clips, families left out",
    "both": "speakers and families left out",
}
HEAD = "| {} | n | Pearson | Spearman | RMSE | bias |\n|---|---:|---:|---:|---:|---:|"
TEXT = """\
# quality.safetensors: an index of artificial damage, without a reference

A CNN over mel segments, self-attention, attention pooling: the architecture follows Mittag, Naderi, \
Chehadi and Möller (Interspeech 2021), the code, the data and the target are this toolkit's. It learnt \
the wide-band PESQ (ITU-T P.862.2) of recordings with artificial damage, not listeners' opinions, so it \
is neither their model, nor an opinion score, nor PESQ: on 112 clips of eight published lip-to-speech \
systems it follows PESQ with a Pearson correlation of 0.22 and lies 1.24 above it. Its column is the \
degradation index. \
{n_parameters:,} parameters in half precision, trained by `facetron-eval train quality`; sha256 \
`{sha256}`.

## Trained on
- {train}
- each clip spoilt by one to three of {seen}, at any strength, or clean (4.64), or noise alone; at \
active levels from −36 to −16 dBov, rounded to 16 bits
- PESQ of every result against its clip, by the `pesq` package

## Left out
- the speakers {speakers} of both corpora, whom the large-unseen protocol keeps from every model
- the families {held_out}
- a tenth of every other speaker's clips

## Agreement with PESQ, on artificial damage alone
Spoilt clips only; clean ones are easy and would flatter the correlation. Nothing here holds for \
synthesized speech.

{sets}

By family, trained ones on speakers left out, left-out ones with speakers left out too:

{families}

## Use
- whether a file carries noise, distortion, reverberation or a vocoder's artifacts; not whether one system \
sounds better than another: for that DNSMOS, DistillMOS and listeners
- it does not hear whether a voice is natural or the words are right: PESQ punishes a wrong sentence, \
this cannot, and clean espeak-ng speech counted as unspoilt
- level does not matter (the active level is normalized); files of a lower rate are scored at 16 kHz \
and lose what band they lack
- silent files and files under 0.15 s or over a minute get a failed status, not a number
- it heard short English sentences read in a quiet room, and no music and no telephone line
"""


def card(results: dict[str, Any], train: Sequence[Item], n_parameters: int, sha256: str) -> str:
    """Markdown of the card.

    Args:
        results: of `quality_report.judge`.
        train: the items that were trained on.
    """
    sets = [_row(f"**{text}**", results[name]["all"]) for name, text in SETS.items()]
    for name, text in SETS.items():
        for corpus in ("real", "synthetic"):
            if corpus in results[name]:
                sets.append(_row(f"{text}: {corpus}", results[name][corpus]))
    families = [
        _row(f"{family} (left out)" if family in HELD_OUT else family, found)
        for subset, names in (("speakers", SEEN), ("both", HELD_OUT))
        for family, found in results[subset].items()
        if family in names and family != "replaced"
    ]
    return TEXT.format(
        n_parameters=n_parameters,
        sha256=sha256,
        train=_material(train),
        seen=", ".join(name for name in SEEN if name != "replaced"),
        held_out=", ".join(HELD_OUT),
        speakers=", ".join(UNSEEN),
        sets="\n".join([HEAD.format("set"), *sets]),
        families="\n".join([HEAD.format("family"), *families]),
    )


def _material(items: Sequence[Item]) -> str:
    parts = []
    for corpus, name in (("real", "GRID (CC BY 4.0)"), ("synthetic", "SynthGRID (espeak-ng)")):
        own = [item for item in items if item.corpus == corpus]
        speakers = Counter(item.speaker for item in own)
        clips = len({item.path for item in own})
        who = ", ".join(sorted(speakers, key=natural))
        parts.append(f"{len(own)} examples of {clips} clips of {name}, speakers {who}")
    return "; ".join(parts)


def _row(name: str, found: dict[str, Any]) -> str:
    def number(key: str, form: str) -> str:
        return "–" if found[key] is None else format(found[key], form).replace("-", "−")

    cells = [number("pearson", ".3f"), number("spearman", ".3f")]
    cells += [number("rmse", ".2f"), number("bias", "+.2f")]
    return f"| {name} | {found['n']} | {' | '.join(cells)} |"
