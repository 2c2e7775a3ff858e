"""The frozen splits: one CSV each, indexed with version, sha256 and origin."""

from manifests.splits.frozen import Split, left_out, load, names

__all__ = ["Split", "left_out", "load", "names"]
