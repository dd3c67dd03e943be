"""How a store is doing and who uses it: one file for each engine."""
