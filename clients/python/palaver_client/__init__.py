"""Client of palaver."""
