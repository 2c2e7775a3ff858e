"""Listening tests: designed, handed out as pages, scored."""
