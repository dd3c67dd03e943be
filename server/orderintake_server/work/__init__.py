"""The verbs of workers in processes of their own: lease, keep, end and list."""
