"""From vLLM's outputs to the events of an answer."""
