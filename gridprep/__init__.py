"""From a GRID folder to features that can be trusted."""
