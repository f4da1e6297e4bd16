"""The start of the engine: its environment, its progress, its log, and a diagnosis where it fails."""
