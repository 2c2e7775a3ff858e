"""Media files: decoding of clips, and checks of the decoded pictures and sound."""
