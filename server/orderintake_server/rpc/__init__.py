"""The service over gRPC: only this package knows gRPC."""
