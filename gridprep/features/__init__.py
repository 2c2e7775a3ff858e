"""Features cut or computed from a decoded clip: crops and prosody."""
