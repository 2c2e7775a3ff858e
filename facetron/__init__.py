"""Facetron: a multi-speaker face-to-speech model (Um, Kim, Lee, Kang), and its baselines."""

from typing import TYPE_CHECKING

from manifests.lazy import lazy_exports

if TYPE_CHECKING:
    from facetron.train.dataset import ClipDataset
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "ClipDataset": "facetron.train.dataset:ClipDataset",
        },
    )

__all__ = ["ClipDataset"]
