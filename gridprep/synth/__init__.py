"""SynthGRID: a synthetic corpus in the form of GRID."""
