"""What is told to whoever watches servers: metrics for Prometheus, and health."""
