"""The gRPC edge: decodes, calls the domain, encodes. An RPC method translates; it does not think."""
