"""The process of a server: its event loop, its signals, and its end."""
