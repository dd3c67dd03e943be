"""The workers in processes of their own, in one SQLite transaction."""
