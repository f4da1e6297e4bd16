"""vLLM in this process.

``engine`` is the adapter. A request flows through ``prompt`` (rendered, counted, checked) into vLLM, and what vLLM
tells flows through ``answer`` (thoughts, calls and text told apart, counted). ``start`` brings the engine up and says
what went wrong if it does not come; ``processes`` knows the engine's processes and outlives none of them; ``bundling``
runs in the engine core and sends tokens of many streams together.
"""
