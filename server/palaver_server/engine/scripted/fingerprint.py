"""A short mark of all that decides what the scripted engine says, as a real engine's ``system_fingerprint``."""

from __future__ import annotations

import hashlib

from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour

LENGTH = 12
"""Hexadecimal digits, as those of a real engine's."""


def fingerprint(behaviour: ScriptedBehaviour, policy: EnginePolicy) -> str:
    """Make the mark of a script."""
    return f"fp_{hashlib.sha256(repr((behaviour, policy.defaults)).encode()).hexdigest()[:LENGTH]}"
