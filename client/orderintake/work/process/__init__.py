"""What a process that runs handlers needs of the system: how it ends, and when another starts."""
