"""Published systems: where their samples lie, what their papers print, and their scores by our judges."""
