"""Tokens of many streams bundled in the engine core, before they are sent to the front end.

What a token costs a front end is mostly what a message costs: to be received, decoded, counted, handed through and
written. A step of the engine brings one token for each stream; where there are many streams, several steps go to the
front end in one. This package runs in the engine core's process: ``pace`` says how many steps, ``bundle`` keeps what
waits for one front end, ``queue`` stands where vLLM's busy loop and its sender meet.
"""
