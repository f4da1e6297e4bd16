"""Engines: adapters from the ``Engine`` protocol of the core to something that answers.

``vllm_engine`` runs a model with vLLM in this process; ``scripted_engine`` answers without any model, for
demonstrations, tests and load tests. Only this package imports ``vllm``, and nothing outside ``app`` imports this
package.
"""
