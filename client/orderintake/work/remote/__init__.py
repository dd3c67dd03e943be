"""A worker that asks a server for its orders, by gRPC."""
