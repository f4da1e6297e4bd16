"""The same engine behind every peer, so that what stands before it is compared.

palaver starts vLLM with arguments and variables of its own, and without a GPU its workers take zero for subnormal
numbers (``engine/vllm/processes/subnormals.py``). Here all peers with vLLM get that: the start profile that palaver
chooses for this machine and model, and a plugin in vLLM's own manner.
"""

from __future__ import annotations

import os
from pathlib import Path

from palaver_server.machine.fitting import profile_for
from palaver_server.machine.packages import vllm_flavour
from palaver_server.machine.profile import StartProfile
from palaver_server.settings import load_settings
from tests.bench.plan import Plan

PLUGIN = "palaver_bench"
PLUGIN_FOLDER = Path(__file__).parent / "plugin"
"""Holds its entry point and no code. For Python's search path."""


def with_same_engines(plan: Plan) -> tuple[Plan, dict[str, str]]:
    """The plan with what palaver would choose for each engine argument that it does not name.

    And variables for every process of the benchmark, beside those that it has.
    """
    if plan.engine != "vllm" or plan.engines != "same":
        return plan, {}
    profile = _profile(plan)
    variables = dict(profile.environment)
    if vllm_flavour() == "cpu":
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PLUGIN_FOLDER), os.environ.get("PYTHONPATH"))))
        if "VLLM_PLUGINS" in os.environ:  # else vLLM loads all
            variables["VLLM_PLUGINS"] = ",".join(filter(None, (os.environ["VLLM_PLUGINS"], PLUGIN)))
    return plan.model_copy(update={"engine_flags": (*profile.vllm_flags, *plan.engine_flags)}), variables


def _profile(plan: Plan) -> StartProfile:
    """What palaver would choose, whatever the operator of this machine has set."""
    unset = {"engine": "vllm", "start_profile": "auto", "front_ends": 1, "vllm": {}}
    profile = profile_for(load_settings(model=plan.model).model_copy(update=unset), plan.engine_flags)
    assert profile is not None  # as for every engine that runs a model
    return profile
