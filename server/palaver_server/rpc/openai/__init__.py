"""OpenAI's chat protocol: its JSON into the contract's own request, the domain's answer into its JSON.

A request becomes the same ``ChatRequest`` that gRPC callers send and goes through the same rules and the same codec, so
a range or a check stands once, in the protos. What is known here is OpenAI's spelling alone: the types of its JSON
(``body``), what is not taken and why (``refused``), the way into the contract (``request``), and the way back of a
field's name into an error (``blame``). An answer is written straight from the domain's events (``chunks``,
``completion``), because a token should not pass through two encodings.

The shape follows https://platform.openai.com/docs/api-reference/chat and, beyond it, vLLM's own server.
"""
