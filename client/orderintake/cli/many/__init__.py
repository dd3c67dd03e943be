"""The commands about many orders at once, and about who serves and reads."""
