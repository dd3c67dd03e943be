"""The Connect protocol: every method of the table as plain HTTP, in JSON or binary."""
