"""Evaluation of synthesized speech: metrics, scores, tables and listening tests. Never imports `facetron`."""

from typing import TYPE_CHECKING

from manifests.lazy import lazy_exports

if TYPE_CHECKING:
    from evaluation import metrics
    from evaluation.inputs.pairs import Recording, Unscorable
    from evaluation.scoring.python import score
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "Recording": "evaluation.inputs.pairs:Recording",
            "Unscorable": "evaluation.inputs.pairs:Unscorable",
            "metrics": "evaluation.metrics",
            "score": "evaluation.scoring.python:score",
        },
    )

__all__ = ["Recording", "Unscorable", "metrics", "score"]
