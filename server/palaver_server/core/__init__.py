"""The domain: conversations, generation, admission, readiness, errors.

Knows neither gRPC, nor vLLM, nor generated code: those are translated at the edges into what stands here.
"""
