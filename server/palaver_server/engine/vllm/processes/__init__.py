"""The engine's processes: known by id, watched while they live, and none left behind."""
