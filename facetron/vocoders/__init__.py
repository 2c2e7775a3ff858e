"""Vocoders by name, which turn a mel spectrogram into a waveform."""
