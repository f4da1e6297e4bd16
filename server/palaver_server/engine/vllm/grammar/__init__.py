"""Forms that answers are held to: what they are in the engine's words, and whether they can be afforded."""
