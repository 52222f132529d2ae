"""A run on disk: its directory, its journals, its checkpoints."""
