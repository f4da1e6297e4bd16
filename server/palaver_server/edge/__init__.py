"""The Envoy sidecar: renders its configuration, makes a certificate for development, runs the binary.

What it speaks is Envoy 1.40's (https://www.envoyproxy.io/docs/envoy/v1.40.0/). Nothing here knows gRPC or a model.
"""
