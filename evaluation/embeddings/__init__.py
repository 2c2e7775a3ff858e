"""Face and prosody embeddings: Figure 2 and its numbers."""
