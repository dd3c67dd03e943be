"""What several tests need: orders to place, a handler under control, servers to talk to."""
