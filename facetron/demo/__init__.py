"""The demo page, which plays the clips of several runs beside each other."""
