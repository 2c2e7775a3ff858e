"""The demo page: clips of several runs, played beside each other."""
