"""Corpora: the clips of a corpus with their speakers, sentences and word alignments."""
