"""The same engine behind every peer, so that what stands before it is compared.

palaver starts vLLM with arguments and variables of its own, and without a GPU its workers take zero for subnormal
numbers (``engine/vllm/processes/subnormals.py``). Here the others get all of that: the start profile that palaver
chooses for this machine and model, and a plugin in vLLM's own manner.
"""

from __future__ import annotations

import os
from pathlib import Path

from palaver_server.machine.fitting import profile_for
from palaver_server.machine.packages import vllm_flavour
from palaver_server.settings import load_settings
from tests.bench.plan import Plan

PLUGIN = Path(__file__).parent / "plugin"
"""A folder with a distribution's entry point and no code. For the search path."""


def with_same_engines(plan: Plan) -> Plan:
    """The plan with what palaver would choose for each engine argument that it does not name."""
    if plan.engine != "vllm":
        return plan
    profile = profile_for(load_settings(model=plan.model), plan.engine_flags)
    assert profile is not None  # there is none where it is switched off alone
    variables = dict(profile.environment)
    if vllm_flavour() == "cpu":
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PLUGIN), os.environ.get("PYTHONPATH"))))
    return plan.model_copy(update={"engine_flags": (*profile.vllm_flags, *plan.engine_flags), "environment": variables})
