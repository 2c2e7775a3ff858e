"""SynthGRID: a GRID made here."""
