"""What comes from PostgreSQL, before the driver reads it."""
