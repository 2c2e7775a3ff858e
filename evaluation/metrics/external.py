"""Columns that VERSA computed: numbers of a `versa.jsonl` in the run directory, with our intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.inputs.pairs import Pair, RunDir, Unscorable
from evaluation.inputs.versa import FILE, fields_of, read_results, result_of
from evaluation.metrics.base import EXTERNAL, Direction, Measured, Metric, MetricInfo
from manifests.records import RunClip

HIGHER = (
    "utmos", "utmosv2", "dns_overall", "dns_p808", "plcmos", "singmos", "sheet_ssqa", "scoreq_nr", "pesq",
    "stoi", "estoi", "visqol", "sdr", "sir", "sar", "si_snr", "ci_sdr", "spk_similarity", "speech_bert",
    "speech_bleu", "speech_token_distance", "f0_corr", "f0corr", "nisqa_mos_pred", "emotion_similarity",
    "torch_squim_pesq", "torch_squim_stoi", "torch_squim_si_sdr",
)  # fmt: skip
LOWER = ("mcd", "f0_rmse", "f0rmse", "nomad", "scoreq_ref", "warpq")
"""Which way fields of VERSA's results are better; what is in neither list is shown and not ranked."""


class VersaScore(Metric):
    """One field of VERSA's results.

    Args:
        name: `versa_FIELD`.
    """

    def __init__(self, name: str) -> None:
        self.field = name.removeprefix(EXTERNAL)
        words = self.field.endswith(("_wer", "_cer"))
        direction: Direction = "lower" if words or self.field in LOWER else "none"
        if self.field in HIGHER:
            direction = "higher"
        self.info = MetricInfo(
            name=name,
            label=f"{self.field} (VERSA)",
            unit="%" if words else "",
            direction=direction,
            definition=(
                f"The field {self.field} of VERSA's results, as {FILE} in the run directory has it"
                + (", errors over all words" if words else "")
            ),
            citation="Shi et al., VERSA, 2024",
            license="of the code and weights that VERSA ran",
            group="external",
            needs_reference=False,
        )

    def applies(self, run: RunDir) -> bool:
        return self.field in fields_of(run.root, run.clips)

    def clip_inputs(self, root: Path, clip: RunClip) -> list[Any]:
        return [self._stored(root, clip)]

    def _stored(self, root: Path, clip: RunClip) -> float | tuple[int, ...] | None:
        if not (root / FILE).is_file():
            return None
        return result_of(read_results(root / FILE), clip).get(self.field)

    def measure(self, pair: Pair) -> Measured:
        stored = None if pair.root is None else self._stored(pair.root, pair.clip)
        if stored is None:
            raise Unscorable("no_versa_score", f"{FILE} has no {self.field} of this clip")
        if not isinstance(stored, tuple):
            return Measured(stored)
        deleted, inserted, replaced, equal = stored
        words = deleted + replaced + equal
        if not words:
            raise Unscorable("no_sentence", f"{FILE} counts no word of this clip")
        return Measured(100 * (deleted + inserted + replaced) / words, words)
