"""Vocoders by name: mel spectrogram to waveform."""
