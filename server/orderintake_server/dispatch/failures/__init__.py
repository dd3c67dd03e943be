"""What becomes of a commit that failed."""
