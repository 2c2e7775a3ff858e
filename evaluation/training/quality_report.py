"""Measures how well the quality network predicts PESQ on data that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from evaluation.models.quality_net import QualityNet
from evaluation.training.quality_data import SETS, Shard, gather
from manifests.console import format_table

BATCH = 32


@torch.inference_mode()
def predictions(network: QualityNet, mels: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """(N, 48, T) → (N,) predicted MOS-LQO."""
    network.eval()
    found = [
        network(torch.from_numpy(mels[start : start + BATCH].astype(np.float32)))
        for start in range(0, len(mels), BATCH)
    ]
    return np.asarray(torch.cat(found).numpy())


def agreement(
    predicted: NDArray[np.float32], true: NDArray[np.float32]
) -> dict[str, float | int | None]:
    """Pearson, Spearman, RMSE, bias; correlations are None where there is nothing to correlate."""
    few = len(true) < 3 or float(np.ptp(true)) < 1e-3
    return {
        "n": len(true),
        "pearson": None if few else round(float(stats.pearsonr(predicted, true)[0]), 4),
        "spearman": None if few else round(float(stats.spearmanr(predicted, true)[0]), 4),
        "rmse": round(float(np.sqrt(np.mean((predicted - true) ** 2))), 4),
        "bias": round(float(np.mean(predicted - true)), 4),
    }


def judge(network: QualityNet, shards: Sequence[Shard]) -> dict[str, Any]:
    """Agreement on every set, on its real and its synthetic clips, and by family.

    Clean clips are left out of all but their own row: easy ones would flatter the correlation.
    """
    results: dict[str, Any] = {}
    for subset in SETS:
        data = gather(shards, subset)
        found = predictions(network, data.mels)
        spoilt = np.array([bool(item.families) for item in data.items])
        groups: dict[str, NDArray[np.bool_]] = {"all": spoilt}
        for corpus in ("real", "synthetic"):
            groups[corpus] = spoilt & np.array([item.corpus == corpus for item in data.items])
        if not spoilt.all():
            groups["clean"] = ~spoilt
            groups["combined"] = np.array([len(item.families) > 1 for item in data.items])
        if subset != "train":
            for family in sorted({i.families[0] for i in data.items if len(i.families) == 1}):
                groups[family] = np.array([item.families == (family,) for item in data.items])
        results[subset] = {
            name: agreement(found[chosen], data.mos[chosen])
            for name, chosen in groups.items()
            if chosen.any()
        }
    return results


def table(results: dict[str, Any]) -> str:
    """The same for a terminal."""
    columns = ("set", "of", "n", "pearson", "spearman", "rmse", "bias")
    rows = [
        (subset, name, *("–" if values[c] is None else values[c] for c in columns[2:]))
        for subset, groups in results.items()
        for name, values in groups.items()
    ]
    return format_table(columns, rows)
