"""The frozen splits: one CSV each, indexed with version, sha256 and origin."""
