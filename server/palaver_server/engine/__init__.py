"""Engines: adapters from the ``Engine`` protocol of the core to something that answers.

``vllm`` runs a model with vLLM in this process; ``scripted`` answers without any model, for demonstrations, tests and
load tests; neither knows the other, and ``policy`` is what both are told. Only this package imports ``vllm``, and
nothing outside ``app`` imports this package.
"""
