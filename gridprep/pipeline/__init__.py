"""The build: from a corpus to features and a manifest, resumable and parallel."""
