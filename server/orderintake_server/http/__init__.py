"""The HTTP listener: metrics for Prometheus, and health for whoever starts and watches servers."""
