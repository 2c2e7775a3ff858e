"""Fetching GRID from its Zenodo record: the record, resumable transfers, careful unpacking."""
