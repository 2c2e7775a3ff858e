"""Facetron: a multi-speaker face-to-speech model (Um, Kim, Lee, Kang), and its baselines."""

from typing import TYPE_CHECKING

from manifests.lazy import lazy_exports

if TYPE_CHECKING:
    from facetron.pretrained import PretrainedModel, Speech, load
    from facetron.train.dataset import ClipDataset
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "ClipDataset": "facetron.train.dataset:ClipDataset",
            "PretrainedModel": "facetron.pretrained:PretrainedModel",
            "Speech": "facetron.pretrained:Speech",
            "load": "facetron.pretrained:load",
        },
    )

__all__ = ["ClipDataset", "PretrainedModel", "Speech", "load"]
