"""The store for one machine: SQLite, in one directory that one process uses."""
