"""The files of a SQLite store: made for their owner alone, flushed, locked, and watched."""
