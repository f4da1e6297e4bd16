"""From a request of the core to the prompt and the sampling parameters that vLLM takes."""
