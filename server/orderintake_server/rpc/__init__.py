"""The service over gRPC: nobody below this package knows gRPC or a request's message."""
