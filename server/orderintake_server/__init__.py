"""The order intake service; to follow an order through it, read ARCHITECTURE.md first."""
