"""The store for many machines: PostgreSQL, which any number of processes use together."""
