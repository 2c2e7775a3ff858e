"""Speech for videos outside a build: alignment, synthesis and muxing."""
