"""How a store knows workers in processes of their own: one file for each engine."""
