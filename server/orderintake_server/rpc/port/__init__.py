"""Where the server listens: addresses, sockets, TLS, how many connections, and their end."""
