"""OpenAI's chat protocol: its JSON into the contract's own request, the domain's answer into its JSON."""
