"""Videos that no build has seen: alignment, speech, and the muxed result."""
