"""Describes how published code scores speech where it departs from the definitions: one record a
publication.

Each record was read in the public source that it names. Its columns (`evaluation.metrics.published`) apply
the departures to the same files, so that a report shows what they do; they are never ranked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """The way in which one publication's code scores.

    Attributes:
        name: for commands, and the end of its columns' names.
        label: in heads of columns.
        paper: whose numbers were made so.
        source: repository, file and commit in which it was read.
        departures: what differs from the definitions, a sentence each.
        columns: metric of this toolkit that defines the measure → the metric that repeats the code.
        missing: what is not repeated here, "" for nothing.
    """

    name: str
    label: str
    paper: str
    source: str
    departures: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    missing: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as plain values."""
        return {**asdict(self), "columns": {column: beside for beside, column in self.columns}}


WRAPPED = (
    "STOI of int16(round(65536·x)): what lies beyond half of full scale changes its sign, in the "
    "recording too"
)
RAW_PESQ = "PESQ is P.862's raw score, narrow band at 8 kHz, not the MOS-LQO of P.862.1"
OTHER_RECOGNIZER = "The paper's own recognizer is not repeated: the report's takes its place."

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "mira2022",
            "Mira 2022",
            "Mira, Vougioukas, Ma, Petridis, Schuller, Pantic, End-to-End Video-to-Speech Synthesis "
            "using GANs, IEEE Transactions on Cybernetics, 2022; of the group of Vougioukas et al., "
            "Interspeech 2019, whose own code is not public",
            "github.com/miraodasilva/evalaudio, eval_metrics.py and measures.py at 71d2af9",
            (
                WRAPPED,
                RAW_PESQ,
                "a PESQ that raises an error counts as 0.0 and enters the mean",
                "MCD is the mean Euclidean distance of 13 MFCCs whose first is the log energy, without "
                "Kominek's factor and without time warping",
                "the arguments of the WER are exchanged: errors over the words that were heard, and a "
                "mean over clips",
            ),
            (
                ("stoi", "stoi_as_mira2022"),
                ("pesq_nb", "pesq_as_mira2022"),
                ("mcd", "mcd_as_mira2022"),
                ("wer", "wer_as_mira2022"),
            ),
            OTHER_RECOGNIZER,
        ),
        Protocol(
            "vcagan2021",
            "VCA-GAN",
            "Kim, Hong, Ro, Lip to Speech Synthesis with Visual Context Attentional GAN, NeurIPS 2021",
            "github.com/ms-dot-k/Visual-Context-Attentional-GAN, test.py and ASR_model/GRID/test.py at "
            "bc80e99",
            (
                "PESQ is narrow band at 8 kHz",
                "WER and CER are means over clips of the clip's rate, not errors over all words",
            ),
            (
                ("pesq_nb", "pesq_as_vcagan2021"),
                ("cer", "cer_as_vcagan2021"),
                ("wer", "wer_as_vcagan2021"),
            ),
            f"{OTHER_RECOGNIZER} Sentences of equal length have the same WER either way.",
        ),
        Protocol(
            "xts2021",
            "XTS",
            "Oneață, Stan, Cucu, Speaker Disentanglement in Video-to-Speech Conversion, EUSIPCO 2021",
            "github.com/danoneata/xts, evaluate/quality.py at 50abb87",
            (WRAPPED, RAW_PESQ),
            (("stoi", "stoi_as_xts2021"), ("pesq_nb", "pesq_as_xts2021")),
            "Its WER, by Kaldi along GRID's grammar, is not repeated.",
        ),
        Protocol(
            "versa2024",
            "VERSA",
            "Shi et al., VERSA: A Versatile Evaluation Toolkit for Speech, Audio, and Music, 2024",
            "github.com/wavlab-speech/versa, versa/utterance_metrics/pesq_score.py at 03ccbda",
            (
                "a PESQ that raises an error counts as 0.0 and enters the mean",
                "the sounds are not cut to one length",
            ),
            (("pesq_wb", "pesq_as_versa2024"),),
        ),
    )
}


BESIDE = {column: metric for each in PROTOCOLS.values() for metric, column in each.columns}
"""Column → the metric of this toolkit that it departs from and stands beside."""


def columns_of(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the metrics that repeat these protocols."""
    return tuple(column for name in names for _, column in PROTOCOLS[name].columns)


def beside(names: Iterable[str]) -> frozenset[str]:
    """Returns the metrics of this toolkit that stand beside them."""
    return frozenset(metric for name in names for metric, _ in PROTOCOLS[name].columns)


def protocol_of(column: str) -> Protocol:
    """Returns the protocol that a column repeats."""
    return PROTOCOLS[column.rpartition("_as_")[2]]
