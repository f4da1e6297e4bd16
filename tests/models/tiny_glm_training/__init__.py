"""Trains the tiny GLM that the tests of the chat semantics run on.

The data flows one way: `words` and `stories` (closed vocabulary) -> `lessons` (what the model learns, one random
turn at a time) -> `rows` (turns rendered as GLM-4.5 renders them, with a loss mask) -> `training` -> `check`, which
asks the saved model every question of `cases` and fails loudly.
"""
