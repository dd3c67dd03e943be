"""The HTTP listener: metrics for Prometheus, and health for whoever starts and watches servers."""

MOST_CONNECTIONS = 100
"""More are closed at once: each takes a descriptor, which gRPC and the store need too."""
